import FoundationEssentials
import KubernetesModel
import KubernetesWire
import NetworkTypes

@testable import KubernetesClient

/// Cuts bytes into pieces of sizes that the bytes themselves choose, since sizes must not matter.
private func pieces(_ input: [UInt8]) -> [[UInt8]] {
    var rest = input[...]
    var result: [[UInt8]] = []
    while let first = rest.first {
        result.append(Array(rest.prefix(1 + Int(first) % 23)))
        rest = rest.dropFirst(1 + Int(first) % 23)
    }
    return result
}

func frames(_ input: [UInt8]) {
    func events<Splitter: WatchSplitter>(_: Splitter.Type, _ pieces: [[UInt8]]) -> [[UInt8]] {
        var splitter = Splitter()
        var found: [[UInt8]] = []
        for piece in pieces {
            splitter.append(piece)
            do throws(WireError) {
                while let event = try splitter.next() { found.append(event) }
            } catch {
                return found + [Array(error.description.utf8)]
            }
        }
        return found + (splitter.rest().map { [$0] } ?? [])
    }
    func parts<Splitter: ListSplitter>(_: Splitter.Type, _ pieces: [[UInt8]]) -> [ListPart] {
        var splitter = Splitter()
        var found: [ListPart] = []
        for piece in pieces {
            splitter.append(piece)
            do throws(WireError) {
                while let part = try splitter.next() { found.append(part) }
            } catch {
                return found + [.kind(Array(error.description.utf8))]
            }
        }
        return found + [.kind([splitter.isComplete ? 1 : 0])]
    }
    let cut = pieces(input)
    precondition(events(LineSplitter.self, [input]) == events(LineSplitter.self, cut))
    precondition(events(LengthSplitter.self, [input]) == events(LengthSplitter.self, cut))
    precondition(parts(JSONListSplitter.self, [input]) == parts(JSONListSplitter.self, cut))
    precondition(
        parts(ProtobufListSplitter.self, [input]) == parts(ProtobufListSplitter.self, cut)
    )
}

/// Decodes the same bytes as a list and as events.
func messages(_ input: [UInt8]) {
    var (list, events) = (MessageMaker(input), MessageMaker(input))
    decode(list.list(), .protobuf)
    decode(events.events(), .protobuf)
}

func decode(_ input: [UInt8], _ encoding: WireEncoding) {
    decode(Service.self, input, encoding)
    decode(EndpointSlice.self, input, encoding)
    decode(Endpoints.self, input, encoding)
    decode(Node.self, input, encoding)
    decode(ServiceCIDR.self, input, encoding)
}

private func decode<Object: Resource & Hashable>(
    _: Object.Type,
    _ input: [UInt8],
    _ encoding: WireEncoding
) {
    func list(_ pieces: [[UInt8]]) -> [Object]? {
        var decoder = ListDecoder<Object>(encoding)
        do throws(WireError) {
            for piece in pieces { try decoder.append(piece) }
            return try decoder.finish().objects
        } catch {
            return nil
        }
    }
    func watch(_ pieces: [[UInt8]]) -> [String] {
        var decoder = WatchDecoder<Object>(encoding)
        var found: [String] = []
        do throws(WireError) {
            for piece in pieces {
                decoder.append(piece)
                while let event = try decoder.next() { found.append(summary(event)) }
            }
            if let event = try decoder.finish() { found.append(summary(event)) }
        } catch {
            found.append(error.description)
        }
        return found
    }
    func summary(_ event: WatchEvent<Object>) -> String {
        switch event.payload {
        case .set(let object): "set \(object.objectName) \(object.hashValue)"
        case .removed(let name): "removed \(name)"
        case .bookmark(let ends): "bookmark \(ends) \(event.resourceVersion)"
        case .error(let status): "error \(status.code) \(status.message)"
        // Of several wrong entries of a map the reason names any one.
        case .unreadable(let object): "unreadable \(object.namespace ?? "") \(object.name ?? "")"
        }
    }
    let cut = pieces(input)
    precondition(list([input]) == list(cut), "a list depends on how it arrives")
    precondition(watch([input]) == watch(cut), "a watch depends on how it arrives")
}

/// The body of an answer with an error; the first byte chooses its type.
func answers(_ input: [UInt8]) {
    let types = [
        "application/json", "application/vnd.kubernetes.protobuf", "text/plain",
        "application/json; charset=utf-8",
    ]
    guard let first = input.first else { return }
    let type = types[Int(first) % types.count]
    let status = ServerStatus(Array(input.dropFirst()), contentType: type)
    precondition(status.retryAfter <= .seconds(120), "a server sets a pause of any length")
}

/// Two kubeconfigs, of which the first counts.
func kubeconfig(_ text: String) {
    let parts = text.split(separator: "\n%%%\n", maxSplits: 1).map { Data($0.utf8) }
    let configs = parts.compactMap { try? Kubeconfig($0, path: "/fuzz/config") }
    guard var config = configs.first else { return }
    for other in configs.dropFirst() { config.merge(other) }
    for context in [nil, "one", "two"] {
        _ = try? KubeconfigReader(config: config, paths: "/fuzz/config")
            .credentials(context: context, master: nil)
    }
}

/// What an exec plugin prints.
func plugin(_ output: [UInt8]) {
    let plugin = ExecPlugin(
        apiVersion: "client.authentication.k8s.io/v1",
        command: "plugin",
        arguments: [],
        environment: [:]
    )
    guard let credential = try? plugin.credential(output) else { return }
    precondition(credential.token != nil || credential.clientKey != nil, "nothing to log in with")
}
