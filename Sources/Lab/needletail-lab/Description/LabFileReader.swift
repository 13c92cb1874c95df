internal import FoundationEssentials
internal import NetworkTypes
internal import YAML

/// Reads the description of a lab from YAML.
///
///     network: flannel-vxlan     # a kind of docs/networks.md
///     mode: nftables             # or ipvs
///     families: [IPv4, IPv6]     # of the Services
///     nodes: 3                   # or a list: names, or {name, pods}
///     pods: 2                    # on each node that does not say
///     services: []               # short forms, manifests, {file: PATH}
///     ingress: {}                # {pod, rules: [{host, path, service}]}
///
/// Nothing of it is required.
struct LabFileReader {
    private enum Family: String, CaseIterable {
        case ipv4 = "IPv4"
        case ipv6 = "IPv6"

        var family: IPFamily { self == .ipv4 ? .ipv4 : .ipv6 }
    }

    private static let keys = [
        "network", "mode", "families", "nodes", "pods", "services", "ingress",
    ]

    /// The name of the file in errors; paths in it are relative to it.
    let file: String
    let flags: LabDescription.Flags

    /// Reads a file.
    static func description(
        from file: String,
        _ flags: LabDescription.Flags
    ) throws(LabFileError) -> LabDescription {
        try LabFileReader(file: file, flags: flags).description(in: try text(of: file))
    }

    static func text(of file: String) throws(LabFileError) -> String {
        do {
            return try String(contentsOfFile: file, encoding: .utf8)
        } catch {
            let reason = (error as? CocoaError)?.code == .fileReadNoSuchFile
            throw LabFileError(
                file: file,
                line: nil,
                path: "",
                reason: reason ? "does not exist" : "cannot be read as UTF-8 text: \(error)"
            )
        }
    }

    /// Reads a file's text.
    func description(in text: String) throws(LabFileError) -> LabDescription {
        let documents = try Self.documents(in: text, file)
        guard let root = documents.first else {
            throw LabFileError(
                file: file,
                line: nil,
                path: "",
                reason: "is empty. Allowed keys: \(Self.keys.joined(separator: ", "))"
            )
        }
        guard documents.count == 1 else {
            throw documents[1].failure("is a second document; a lab is one")
        }
        return try description(of: root.fields(Self.keys))
    }

    static func documents(
        in text: String,
        _ file: String
    ) throws(LabFileError) -> [LabFilePart] {
        do throws(YAMLError) {
            return try YAMLReader.documents(in: text).filter { !$0.isNull }
                .map { LabFilePart(node: $0, file: file, path: "") }
        } catch {
            throw LabFileError(
                file: file,
                line: error.line,
                path: "",
                reason: "is no valid YAML: \(error.reason)"
            )
        }
    }

    private func description(
        of fields: [String: LabFilePart]
    ) throws(LabFileError) -> LabDescription {
        var description = LabDescription(flags)
        if let part = fields["network"] {
            description.network = try part.word()
            try refuse(part, "--network", flags.network?.rawValue, description.network.rawValue)
        }
        if let part = fields["mode"] {
            description.mode = try part.word()
            try refuse(part, "--mode", flags.mode?.rawValue, description.mode.rawValue)
        }
        let families = try families(fields["families"], description.network)
        description.layout = try LayoutReader(flags: flags).layout(fields)
        let ingress = try fields["ingress"].map { (part) throws(LabFileError) in
            try IngressReader(part, description.layout)
        }
        description.layout.ingress = ingress?.pod
        if let part = fields["services"] {
            var reader = ServiceReader(layout: description.layout, families: families)
            description.services = try reader.services(part)
        } else if let part = fields["families"], families.count == 1 {
            throw part.failure("needs services; those of the demonstration have both families")
        }
        description.ingress = try ingress?.rules(description.services) ?? []
        return description
    }

    /// Refuses a flag that says something else than the file.
    private func refuse(
        _ part: LabFilePart,
        _ flag: String,
        _ said: String?,
        _ value: String
    ) throws(LabFileError) {
        guard let said, said != value else { return }
        throw part.failure("is \(value), and \(flag) says \(said); leave one of them out")
    }

    private func families(
        _ part: LabFilePart?,
        _ network: NetworkKind
    ) throws(LabFileError) -> [IPFamily] {
        guard let part else { return network.families }
        var families: [IPFamily] = []
        for item in try part.list() {
            let family = try item.word(Family.self).family
            guard !families.contains(family) else { throw item.failure("is there twice") }
            guard network.families.contains(family) else {
                throw item.failure("network \(network.rawValue) has no \(family)")
            }
            families.append(family)
        }
        guard !families.isEmpty else { throw part.failure("is empty; Services need a family") }
        return families
    }
}
