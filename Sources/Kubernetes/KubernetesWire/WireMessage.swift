package import SwiftProtobuf

/// A message that can be read from both JSON and protobuf.
package protocol WireMessage: JSONReadable, SwiftProtobuf.Message {}

/// An object of the API: a message with metadata.
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

/// A wrapper that lets a JSON decoder read a message where it expects a value.
package struct FromJSON<Message: JSONReadable>: Decodable {
    package let message: Message

    package init(from decoder: any Swift.Decoder) throws { message = try Message(json: decoder) }
}
