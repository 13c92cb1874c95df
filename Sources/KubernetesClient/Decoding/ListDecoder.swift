package import KubernetesModel
package import KubernetesWire

/// A list, or a page of one.
package struct ListPage<Object: Resource>: Sendable {
    package var objects: [Object] = []
    package var unreadable: [UnreadableObject] = []
    package var resourceVersion = ""
    /// Asks for the next page; empty after the last.
    package var continueToken = ""
}

/// An object of a list or watch that cannot be read, which harms no other.
package struct UnreadableObject: Sendable, Hashable, CustomStringConvertible {
    /// Nil if not even that can be read.
    package let name: ObjectName?
    package let reason: String
    /// Of its bytes, within this process.
    package var fingerprint = 0

    package var description: String { "\(name?.description ?? "an object"): \(reason)" }
}

/// Reads a list as it arrives; only its objects are kept, and the bytes of the next one.
package struct ListDecoder<Object: Resource>: Sendable {
    private let encoding: WireEncoding
    private var splitter: any ListSplitter
    private var page = ListPage<Object>()
    private var strings = StringPool()

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
                page.resourceVersion = metadata.resourceVersion
                page.continueToken = metadata.continue
            case .item(let bytes):
                switch encoding.object(Object.self, from: bytes) {
                case .success(var object):
                    object.shareStrings(&strings)
                    page.objects.append(object)
                case .failure(let unreadable): page.unreadable.append(unreadable.object)
                }
            }
        }
    }

    /// The page, once its body has ended.
    package func finish() throws(WireError) -> ListPage<Object> {
        guard splitter.isComplete else { throw WireError("the list ends in the middle") }
        return page
    }

    private func check(kind bytes: [UInt8]) throws(WireError) {
        let kind =
            switch encoding {
            case .json: String(decoding: bytes, as: UTF8.self)
            case .protobuf: (try WireEncoding.fromProtobuf(bytes) as WireTypeMeta).kind
            }
        guard kind == "\(Object.kind)List" else {
            throw WireError("a \(Object.kind)List was expected, not a \"\(kind)\"")
        }
    }
}

/// So that a `Result` can carry one.
struct ObjectError: Error {
    var object: UnreadableObject
}

extension WireEncoding {
    func object<Object: Resource>(
        _: Object.Type,
        from bytes: [UInt8]
    ) -> Result<Object, ObjectError> {
        Result { () throws(WireError) in try message(Object.Wire.self, from: bytes) }
            .flatMapError { error in
                let any = try? message(WireAnyObject.self, from: bytes)
                var failure = ObjectError(any?.metadata, reason: error.description)
                failure.object.fingerprint = bytes.hashValue
                return .failure(failure)
            }
            .flatMap(Object.read)
    }
}

extension Resource {
    fileprivate static func read(_ wire: Wire) -> Result<Self, ObjectError> {
        do {
            return .success(try Self(wire))
        } catch {
            return .failure(ObjectError(wire.metadata, reason: "\(error)"))
        }
    }
}

extension ObjectError {
    init(_ metadata: WireObjectMeta?, reason: String) {
        object = UnreadableObject(
            name: metadata.flatMap { try? ObjectName($0) },
            reason: reason
        )
    }
}
