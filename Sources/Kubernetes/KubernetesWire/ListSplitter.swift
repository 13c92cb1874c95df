/// Splits the body of a list into its items as it arrives, so that the list is never held whole.
package protocol ListSplitter: Sendable {
    init()
    mutating func append(_ bytes: [UInt8])
    /// Returns the next complete part; nil if more bytes are needed.
    mutating func next() throws(WireError) -> ListPart?
    /// Whether the body may end here.
    var isComplete: Bool { get }
}

package enum ListPart: Sendable, Hashable {
    /// The list's `kind`, such as `ServiceList`.
    case kind([UInt8])
    /// The list's ListMeta, encoded.
    case metadata([UInt8])
    case item([UInt8])
}
