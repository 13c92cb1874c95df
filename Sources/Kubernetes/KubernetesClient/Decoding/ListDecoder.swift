internal import KubernetesModel
package import KubernetesWire

/// A list, or one page of a list.
package struct ListPage<Object: Resource>: Sendable {
    package var objects: [Object] = []
    package var unreadable: [UnreadableObject] = []
    package var resourceVersion = ""
    /// The token that asks for the next page; empty on the last page.
    package var continueToken = ""
}

/// Reads a list as it arrives, and keeps only the decoded objects and the bytes of the next one.
package struct ListDecoder<Object: Resource>: Sendable {
    private let encoding: WireEncoding
    private var splitter: any ListSplitter
    private var page = ListPage<Object>()
    private var pool = SharingPool()

    package init(_ encoding: WireEncoding) {
        self.encoding = encoding
        splitter = encoding == .json ? JSONListSplitter() : ProtobufListSplitter()
    }

    package mutating func append(_ bytes: [UInt8]) throws(WireError) {
        splitter.append(bytes)
        while let part = try splitter.next() {
            switch part {
            case .kind(let bytes): try check(kind: bytes)
            case .metadata(let bytes):
                let metadata: WireListMeta = try encoding.message(from: bytes)
                guard let version = metadata.resourceVersion.exactText,
                    let token = metadata.continue.exactText
                else { throw WireError("the list's resourceVersion or continue is not UTF-8") }
                (page.resourceVersion, page.continueToken) = (version, token)
            case .item(let bytes):
                switch ReadObject<Object>(bytes, encoding).content {
                case .success(var object):
                    object.share(&pool)
                    page.objects.append(object)
                case .failure(let unreadable): page.unreadable.append(unreadable)
                }
            }
        }
    }

    /// Returns the page after its body has ended; throws if the body is incomplete.
    package func finish() throws(WireError) -> ListPage<Object> {
        guard splitter.isComplete else { throw WireError("the list ends in the middle") }
        return page
    }

    private func check(kind bytes: [UInt8]) throws(WireError) {
        let kind =
            switch encoding {
            case .json: String(decoding: bytes, as: UTF8.self)
            case .protobuf: (try WireEncoding.fromProtobuf(bytes) as WireTypeMeta).kind.text
            }
        guard kind == "\(Object.kind)List" else {
            throw WireError("a \(Object.kind)List was expected, not a \"\(kind)\"")
        }
    }
}
