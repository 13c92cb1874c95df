internal import KubernetesWire

extension ServerStatus {
    /// Reads the body of an error answer: a Status, or plain text as it is.
    init(_ body: [UInt8], contentType: String) {
        let status: WireStatus?
        switch WireEncoding(contentType: contentType) {
        case .protobuf:
            status = try? WireEncoding.protobuf.message(
                from: WireEncoding.content(ofEnvelope: body, kind: "Status")
            )
        case .json: status = try? WireEncoding.json.message(from: body)
        case nil: status = nil
        }
        if let status, !status.message.isEmpty {
            self.init(status)
        } else {
            let text = String(decoding: body.prefix(300), as: UTF8.self)
            self.init(code: 0, message: text, retryAfter: .zero)
        }
    }
}
