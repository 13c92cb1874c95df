/// Why bytes of the API server cannot be read.
package struct WireError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// The largest event or object that is taken: the API server's own limit for one is 1.5 MiB (etcd),
/// and nothing is reserved before this is checked.
package let largestFrame = 16 << 20
