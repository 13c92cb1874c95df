internal import Glibc
internal import NetworkTypes

/// One request to a Service and its answer.
struct Probe {
    enum Outcome: Hashable {
        /// An answer, with the name of the pod and the client address that the pod saw.
        case answered(pod: String, seen: String)
        case refused
        case silent
    }

    let target: FrontendKey
    /// How long each step may take, in seconds.
    var patience = 1

    /// Sends the request from inside a namespace.
    func send(from namespace: Namespace) throws -> Outcome {
        guard target.transport == .tcp else { return try sendDatagram(from: namespace) }
        switch try HTTPRequest().send(to: target, from: namespace, patience: patience) {
        case .answered(let answer): return Self.outcome(answer.body)
        case .refused: return .refused
        case .silent: return .silent
        }
    }

    private func sendDatagram(from namespace: Namespace) throws -> Outcome {
        let descriptor: Int32
        switch try connectSocket(SOCK_DGRAM, to: target, in: namespace.handle, patience: patience) {
        case .success(let socket): descriptor = socket
        case .failure(let failure): return failure.code == ECONNREFUSED ? .refused : .silent
        }
        defer { close(descriptor) }
        _ = Glibc.send(descriptor, "?", 1, 0)
        var answer: [UInt8] = Array(repeating: 0, count: 256)
        let count = recv(descriptor, &answer, answer.count, 0)
        guard count > 0 else { return count < 0 && errno == ECONNREFUSED ? .refused : .silent }
        return Self.outcome(String(decoding: answer[..<count], as: UTF8.self))
    }

    /// Reads what a pod answers; a third word names the client for whom another server asks.
    private static func outcome(_ answer: String) -> Outcome {
        let words = answer.split { $0 == " " || $0 == "\n" }
        guard 2...3 ~= words.count else { return .silent }
        return .answered(pod: String(words[0]), seen: String(words[1]))
    }
}

extension Probe.Outcome {
    /// The name of the pod that answered; nil if none did.
    var pod: String? {
        if case .answered(let pod, _) = self { return pod }
        return nil
    }

    var isAnswer: Bool { pod != nil }
}
