internal import KubernetesModel

/// An item of a list, which may be unreadable without harm to the others.
struct ListItem<Object: Decodable>: Decodable {
    let object: Result<Object, ItemError>

    init(from decoder: any Decoder) throws {
        do {
            object = .success(try Object(from: decoder))
        } catch let error as DecodingError {
            object = .failure(ItemError(decoder, error))
        }
    }
}

/// Why one object could not be read.
struct ItemError: Error, CustomStringConvertible {
    let description: String

    init(_ decoder: any Decoder, _ error: DecodingError) {
        let metadata = try? ObjectHead(from: decoder).metadata
        let name = [metadata?.namespace, metadata?.name].compactMap(\.self).joined(separator: "/")
        description = "\(name.isEmpty ? "an object" : name): \(error.fieldProblem)"
    }
}

/// What every object has.
struct ObjectHead: Decodable {
    struct Metadata: Decodable {
        let name: String?
        let namespace: String?
        let resourceVersion: String?
    }
    let metadata: Metadata?
}

struct ListBody<Object: Decodable>: Decodable {
    let metadata: ObjectHead.Metadata
    let items: [ListItem<Object>]?
}

/// `meta/v1.Status`
/// .
struct Status: Decodable {
    let message: String?
    let code: Int?
}

/// One event of a watch.
struct WatchEvent<Object: Decodable>: Decodable {
    enum Payload {
        case set(Object)
        case removed(Object)
        case bookmark
        case error(code: Int, message: String)
        case unreadable(ItemError)
    }

    let payload: Payload
    let resourceVersion: String?

    private enum CodingKeys: CodingKey { case type, object }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        let type = try container.decode(String.self, forKey: .type)
        guard type != "ERROR" else {
            let status = try container.decode(Status.self, forKey: .object)
            payload = .error(code: status.code ?? 500, message: status.message ?? "no message")
            resourceVersion = nil
            return
        }
        resourceVersion = try container.decode(ObjectHead.self, forKey: .object).metadata?
            .resourceVersion
        guard type != "BOOKMARK" else {
            payload = .bookmark
            return
        }
        switch try container.decode(ListItem<Object>.self, forKey: .object).object {
        case .failure(let error): payload = .unreadable(error)
        case .success(let object): payload = type == "DELETED" ? .removed(object) : .set(object)
        }
    }
}
