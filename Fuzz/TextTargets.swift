import Configuration
import FoundationEssentials
import IPVS
import KubernetesModel
import ManifestSource
import NetworkTypes
import Netlink
import Observability
import YAML

@testable import needletail

func manifest(_ text: String) {
    _ = try? JSONDecoder().decode(KubernetesObjects.self, from: Data(text.utf8))
    _ = try? ManifestReader(file: "fuzz").objects(in: text)
}

/// Any value that YAML can have, by each way in which a decoder is asked.
private indirect enum Document: Decodable {
    struct Key: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    case null
    case scalar
    case list([Document])
    case map([String: Document])

    init(from decoder: any Decoder) throws {
        if let container = try? decoder.container(keyedBy: Key.self) {
            var map: [String: Document] = [:]
            for key in container.allKeys {
                _ = try? container.decodeNil(forKey: key)
                _ = try? container.nestedContainer(keyedBy: Key.self, forKey: key).allKeys
                _ = try? container.nestedUnkeyedContainer(forKey: key).count
                _ = try? container.superDecoder(forKey: key)
                map[key.stringValue] = try container.decode(Document.self, forKey: key)
            }
            precondition(!container.contains(Key(stringValue: "\u{0}")) || map["\u{0}"] != nil)
            _ = try? container.superDecoder()
            _ = try? container.decode(Int.self, forKey: Key(stringValue: "missing"))
            self = .map(map)
        } else if var container = try? decoder.unkeyedContainer() {
            var (list, again): ([Document], any UnkeyedDecodingContainer) = ([], container)
            while !container.isAtEnd {
                if try container.decodeNil() { continue }
                list.append(try container.decode(Document.self))
            }
            _ = try? again.nestedContainer(keyedBy: Key.self)
            _ = try? again.nestedUnkeyedContainer()
            _ = try? again.superDecoder()
            _ = try? container.decode(Int.self)
            self = .list(list)
        } else {
            let container = try decoder.singleValueContainer()
            self = container.decodeNil() ? .null : .scalar
            _ = (try? container.decode(Bool.self), try? container.decode(String.self))
            _ = (try? container.decode(Double.self), try? container.decode(Float.self))
            _ = (try? container.decode(Int.self), try? container.decode(UInt.self))
            _ = (try? container.decode(Int8.self), try? container.decode(UInt8.self))
            _ = (try? container.decode(Int16.self), try? container.decode(UInt16.self))
            _ = (try? container.decode(Int32.self), try? container.decode(UInt32.self))
            _ = (try? container.decode(Int64.self), try? container.decode(UInt64.self))
        }
    }
}

func yaml(_ text: String) {
    do throws(YAMLError) {
        for node in try YAMLReader.documents(in: text) {
            _ = (node["a"], node[0], node.scalar?.number)
            _ = try? YAMLDecoder().decode(Document.self, from: node)
        }
        _ = try YAMLReader.firstDocument(in: text)
    } catch {
        precondition(!error.description.isEmpty, "an error says nothing")
    }
}

func configuration(_ text: String) {
    guard let (value, _) = try? KubeProxyConfiguration.read(yaml: text) else { return }
    _ = (value.validate(), value.idleSettings, value.json, value.flagText)
    let again = try? KubeProxyConfiguration.read(yaml: value.yaml).configuration
    precondition(again == value, "what is written is not read back")
}

/// A command line, a word on each line.
func flags(_ text: String) {
    let arguments = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    guard let rewritten = try? PlanningOptions.grammar.rewritten(arguments) else { return }
    _ = DaemonFlags.adopted(by: ["explain"], from: arguments)
    let prefix = "--setting="
    let settings = rewritten.filter { $0.hasPrefix(prefix) }.map {
        String($0.dropFirst(prefix.count))
    }
    guard let flags = try? GivenFlags(settings) else { return }
    var configuration = KubeProxyConfiguration()
    try? flags.apply(to: &configuration, besideFile: !flags.ignoredBesideFile.isEmpty)
    _ = (configuration.validate(), configuration.nodePortAddressesInForce, configuration.yaml)
}

/// Words with an address, a time or a name in them, one on each line.
func addresses(_ text: String) {
    for word in text.split(separator: "\n").map(String.init) {
        if let address = IPAddress(word) {
            precondition(IPAddress(address.description) == address, "an address is not read back")
        }
        if let prefix = IPPrefix(word) {
            precondition(IPPrefix(prefix.description) == prefix, "a prefix is not read back")
            precondition(prefix.contains(prefix.base), "a prefix does not contain its beginning")
        }
        if let address = ListenAddress(word) {
            precondition(ListenAddress(address.description) == address, "it is not read back")
        }
        if let span = TimeSpan(word) {
            precondition(TimeSpan(span.description) != nil, "\(span) is not read back")
        }
        _ = (ObjectUID(word)?.description, NodePortAddresses.problems(in: [word]))
    }
    let words = text.split(separator: "\n").map(String.init)
    _ = NodePortAddresses(words)
    let prefixes = words.compactMap { IPPrefix($0) }
    let aggregated = IPPrefix.aggregated(prefixes)
    precondition(
        prefixes.allSatisfy { prefix in aggregated.contains { $0.contains(prefix) } },
        "a prefix got lost"
    )
}

/// The arguments of commands, one on each line.
func words(_ text: String) {
    for word in text.split(separator: "\n").map(String.init) {
        let key = FrontendKey(IPAddress(ipv4: 1), .tcp, 80)
        _ = ((try? Wanted(word))?.includes(key), try? ConnectionSource(word))
        _ = (try? WatchTarget(word), try? IPPrefix(client: word))
        _ = (
            try? PastTime.seconds(of: word, option: "--at"), try? HistoryText.serviceParameter(word)
        )
    }
}

/// What kubectl prints, and then what needletail prints on two nodes.
func nodes(_ text: String) {
    let parts = text.split(separator: "\n%%%\n", omittingEmptySubsequences: false)
        .map(String.init)
    let pods = (try? NodePod.all(in: parts[0])) ?? []
    let answers = NodeAnswers(
        parts.dropFirst().enumerated().map { index, text in
            let node = pods.isEmpty ? "node\(index)" : pods[index % pods.count].node
            return NodeAnswer(
                node: node,
                result: index == 3 ? .failed(text) : .printed(text, status: Int32(index % 4))
            )
        }
    )
    _ = (answers.status, answers.grouped, answers.byTime, answers.json)
    _ = answers.table(Kubectl.row)
}

/// Checks that a decision about the first bytes stays the same when more arrive.
func http(_ input: [UInt8]) {
    let whole = HTTPRequest.read(input)
    for count in [input.count / 2, input.count - 1] where count >= 0 {
        let part = HTTPRequest.read(Array(input.prefix(count)))
        guard part != .incomplete else { continue }
        precondition(part == whole, "\(count) bytes are \(part), all are \(whole)")
    }
    switch whole {
    case .incomplete: break
    case .bad(let status): _ = HTTPResponse.refusal(status).bytes()
    case .complete(let request):
        for address in [IPAddress.loopback(.ipv4), IPAddress(ipv4: 1)] {
            _ = request.isMeant(for: address)
        }
        _ = request.parameters
        _ = Exposition.text([Gauge("g", request.path, labels: [])], openMetrics: true)
        _ = HTTPResponse(200, request.method, request.query).bytes(isHead: input.count % 2 == 0)
    }
}
