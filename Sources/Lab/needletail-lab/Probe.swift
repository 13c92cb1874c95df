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
        let isTCP = target.transport == .tcp
        let descriptor = try openSocket(
            isTCP ? SOCK_STREAM : SOCK_DGRAM,
            target.address.socketDomain,
            in: namespace.handle,
            patience: patience
        )
        defer { close(descriptor) }
        let connected = SocketAddress(target.address, target.port).with {
            connect(descriptor, $0, $1)
        }
        guard connected == 0 else { return errno == ECONNREFUSED ? .refused : .silent }
        if !isTCP { _ = Glibc.send(descriptor, "?", 1, 0) }
        var answer: [UInt8] = Array(repeating: 0, count: 256)
        let count = recv(descriptor, &answer, answer.count, 0)
        guard count > 0 else { return count < 0 && errno == ECONNREFUSED ? .refused : .silent }
        let words = String(decoding: answer[..<count], as: UTF8.self).split {
            $0 == " " || $0 == "\n"
        }
        guard words.count == 2 else { return .silent }
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
