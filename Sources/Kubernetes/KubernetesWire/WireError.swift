/// The reason why bytes from the API server cannot be read.
package struct WireError: Error, Sendable, Hashable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

/// The size limit for an event or object, in bytes, checked before any memory is reserved.
///
/// The API server's own limit for one object is 1.5 MiB (etcd).
package let largestFrame = 16 << 20
