package import SwiftProtobuf

/// A message that both encodings can carry.
package protocol WireMessage: JSONReadable, SwiftProtobuf.Message {}

/// One with metadata: an object of the API.
package protocol WireObject: WireMessage {
    var metadata: WireObjectMeta { get }
}

extension WireListMeta: WireMessage {}
extension WireStatus: WireMessage {}
extension WireAnyObject: WireObject {}
extension WireService: WireObject {}
extension WireEndpointSlice: WireObject {}
extension WireEndpoints: WireObject {}
extension WireNode: WireObject {}
extension WireServiceCIDR: WireObject {}

/// A message in a place where JSON's decoder expects a value.
package struct FromJSON<Message: JSONReadable>: Decodable {
    package let message: Message

    package init(from decoder: any Swift.Decoder) throws { message = try Message(json: decoder) }
}
