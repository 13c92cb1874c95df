internal import NetworkTypes

/// Reads the ingress of a lab's file: the pod in which nginx runs, and what it passes on to
/// Services.
struct IngressReader {
    /// The name of the pod.
    let pod: String
    private let rules: LabFilePart

    init(_ part: LabFilePart, _ layout: ClusterLayout) throws(LabFileError) {
        let fields = try part.fields(["pod", "rules"])
        guard let podPart = fields["pod"] else { throw part.failure("has no pod") }
        guard let rules = fields["rules"] else { throw part.failure("has no rules") }
        let names = layout.pods.map(\.name)
        pod = try podPart.text()
        self.rules = rules
        guard names.contains(pod) else { throw podPart.unknown(pod, "pod", names) }
    }

    func rules(_ services: DescribedServices) throws(LabFileError) -> [IngressRule] {
        var list: [IngressRule] = []
        for part in try rules.list() {
            let rule = try rule(part, services)
            guard !list.contains(where: { $0.host == rule.host && $0.path == rule.path }) else {
                throw part.failure("has the host and path of another rule")
            }
            list.append(rule)
        }
        guard !list.isEmpty else { throw rules.failure("is empty; an ingress needs a rule") }
        return list
    }

    private func rule(
        _ part: LabFilePart,
        _ services: DescribedServices
    ) throws(LabFileError) -> IngressRule {
        let fields = try part.fields(["host", "path", "service"])
        guard let service = fields["service"] else { throw part.failure("has no service") }
        let name = try service.text()
        guard let found = services.list.first(where: { $0.name == name }) else {
            throw service.unknown(name, "Service of this file", services.list.map(\.name))
        }
        guard !found.frontends.isEmpty else {
            throw service.failure("\(name) has no cluster IP with a port over TCP")
        }
        var rule = IngressRule(backends: found.frontends)
        if let host = fields["host"] { rule.host = try Self.word(host, "host", ".-") }
        if let path = fields["path"] {
            rule.path = try Self.word(path, "path", "/._-")
            guard rule.path.hasPrefix("/"), rule.path == "/" || !rule.path.hasSuffix("/") else {
                throw path.failure("\(rule.path) does not begin with a slash, or ends with one")
            }
        }
        return rule
    }

    /// Reads letters, digits and some other characters.
    private static func word(
        _ part: LabFilePart,
        _ what: String,
        _ others: String
    ) throws(LabFileError) -> String {
        let text = try part.text()
        let isGood = text.allSatisfy {
            $0.isASCII && ($0.isLetter || $0.isNumber) || others.contains($0)
        }
        guard isGood, !text.isEmpty else {
            throw part.failure("\(text) is no \(what) of letters, digits and \(others)")
        }
        return text
    }
}
