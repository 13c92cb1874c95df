/// Cuts the body of a list into its items, however it arrives, so that no list is ever held whole.
package protocol ListSplitter: Sendable {
    init()
    mutating func append(_ bytes: [UInt8])
    /// The next part that is complete.
    mutating func next() throws(WireError) -> ListPart?
    /// Whether the body may end here.
    var isComplete: Bool { get }
}

package enum ListPart: Sendable, Hashable {
    /// What the list says to be, as in `ServiceList`.
    case kind([UInt8])
    /// A ListMeta.
    case metadata([UInt8])
    case item([UInt8])
}
