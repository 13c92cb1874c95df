import Configuration
import FoundationEssentials
import KubernetesClient
import KubernetesModel
import KubernetesWire
import ManifestSource
import NetworkTypes
import Netlink
import Observability

/// The readers of untrusted bytes, by the names that NEEDLETAIL_FUZZ_TARGET may have.
private let targets: [String: @Sendable (UnsafeRawBufferPointer) -> Void] = [
    "netlink": netlink,
    "trace": trace,
    "addresses": { addresses(String(decoding: $0, as: UTF8.self)) },
    "manifest": { manifest(String(decoding: $0, as: UTF8.self)) },
    "frames": { frames(Array($0)) },
    "protobuf": { decode(Array($0), .protobuf) },
    "messages": { messages(Array($0)) },
    "json": { decode(Array($0), .json) },
    "kubeconfig": { kubeconfig(Data($0)) },
    "http": { http(Array($0)) },
    "xtables": xtables,
    "configuration": { configuration(String(decoding: $0, as: UTF8.self)) },
]

private let target: @Sendable (UnsafeRawBufferPointer) -> Void = {
    let name = ProcessInfo.processInfo.environment["NEEDLETAIL_FUZZ_TARGET"] ?? ""
    guard let target = targets[name] else {
        fatalError("NEEDLETAIL_FUZZ_TARGET is one of \(targets.keys.sorted())")
    }
    return target
}()

/// Runs libFuzzer's loop; the name is the one that SwiftPM gives a program's main function.
@_cdecl("needletail_fuzz_main")
public func fuzz(
    _ count: CInt,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
) -> CInt {
    var (count, arguments) = (count, arguments)
    return runDriver(&count, &arguments, fuzzOneInput)
}

@_silgen_name("LLVMFuzzerRunDriver")
private func runDriver(
    _ count: UnsafeMutablePointer<CInt>,
    _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
    _ target: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
) -> CInt

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzzOneInput(_ data: UnsafePointer<UInt8>?, _ size: Int) -> CInt {
    target(UnsafeRawBufferPointer(start: data, count: size))
    return 0
}

private func netlink(_ input: UnsafeRawBufferPointer) {
    for message in NetlinkMessages(input) {
        _ = (message.errorCode, message.errorText, ConnectionEvent(message))
        for attribute in message.netfilterAttributes {
            _ = (attribute.text, attribute.word, attribute.bigEndianShort, attribute.address)
            for nested in attribute.nested { _ = nested.text }
        }
    }
}

private func trace(_ input: UnsafeRawBufferPointer) {
    for event in NetlinkMessages(input).compactMap({ TraceEvent($0) }) {
        precondition(
            event.packet.map { $0.source.address.family == $0.destination.address.family } ?? true
        )
    }
}

/// Reads a table: the first byte chooses the family, and where the chains of the hooks begin and
/// end.
private func xtables(_ input: UnsafeRawBufferPointer) {
    guard let first = input.first else { return }
    let hooks = [UInt32](repeating: UInt32(first >> 1) << 3, count: 5)
    let family: IPFamily = first & 1 == 0 ? .ipv4 : .ipv6
    let table = XTable(
        validHooks: 31,
        hookEntries: hooks,
        underflows: hooks,
        entries: Array(input.dropFirst())
    )
    _ = try? table.chain(ofHook: 2, family)
    guard let removal = try? table.removing(family, chains: { $0.hasPrefix("KUBE-") }) else {
        return
    }
    let again = try? removal.table.removing(family) { _ in false }
    precondition(again?.table == removal.table, "what is left is no table")
    precondition(again?.kept.count == removal.kept.count, "entries were lost")
}

private func addresses(_ text: String) {
    if let address = IPAddress(text) {
        precondition(IPAddress(address.description) == address, "an address is not read back")
    }
    if let prefix = IPPrefix(text) {
        precondition(IPPrefix(prefix.description) == prefix, "a prefix is not read back")
    }
}

private func manifest(_ text: String) {
    _ = try? JSONDecoder().decode(KubernetesObjects.self, from: Data(text.utf8))
    _ = try? ManifestReader(file: "fuzz").objects(in: text)
}

private func kubeconfig(_ data: Data) {
    guard let config = try? Kubeconfig(data, path: "/fuzz/config") else { return }
    for context in [nil, "one", "two"] {
        _ = try? KubeconfigReader(config: config, paths: "/fuzz/config")
            .credentials(context: context, master: nil)
    }
}

/// Checks that a decision about the first bytes stays the same when more arrive.
private func http(_ input: [UInt8]) {
    let whole = HTTPRequest.read(input)
    for count in [input.count / 2, input.count - 1] where count >= 0 {
        let part = HTTPRequest.read(Array(input.prefix(count)))
        guard part != .incomplete else { continue }
        precondition(part == whole, "\(count) bytes are \(part), all are \(whole)")
    }
    if case .complete(let request) = whole {
        _ = Exposition.text([Gauge("g", request.path, labels: [])], openMetrics: true)
    }
}

private func configuration(_ text: String) {
    guard let (value, _) = try? KubeProxyConfiguration.read(yaml: text) else { return }
    _ = (value.validate(), value.idleSettings, value.json, value.flagText)
    let again = try? KubeProxyConfiguration.read(yaml: value.yaml).configuration
    precondition(again == value, "what is written is not read back")
}

// MARK: Data from the API server

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

private func frames(_ input: [UInt8]) {
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
private func messages(_ input: [UInt8]) {
    var (list, events) = (MessageMaker(input), MessageMaker(input))
    decode(list.list(), .protobuf)
    decode(events.events(), .protobuf)
}

private func decode(_ input: [UInt8], _ encoding: WireEncoding) {
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
        case .unreadable(let object): "unreadable \(object)"
        }
    }
    let cut = pieces(input)
    precondition(list([input]) == list(cut), "a list depends on how it arrives")
    precondition(watch([input]) == watch(cut), "a watch depends on how it arrives")
}
