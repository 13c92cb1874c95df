internal import Glibc
internal import NetworkTypes

/// A transfer of more bytes than a packet holds, in both directions of one connection.
struct Transfer {
    /// The number of bytes in each direction.
    static let size = 300_000
    /// How long a packet may be without an answer, in seconds.
    static let patience = 15
    let target: FrontendKey

    /// Sends bytes from inside a namespace, and returns what came of it; nil if all came back.
    func failure(from namespace: Namespace) throws -> String? {
        let descriptor: Int32
        switch try connectSocket(
            SOCK_STREAM,
            to: target,
            in: namespace.handle,
            patience: Self.patience
        ) {
        case .success(let socket): descriptor = socket
        case .failure(let failure):
            return "no connection: \(String(cString: strerror(failure.code)))"
        }
        defer { close(descriptor) }
        let bytes = (0..<Self.size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        guard Self.send(descriptor, bytes) else { return "the way there stalls" }
        shutdown(descriptor, Int32(SHUT_WR))
        guard let answer = Self.receive(descriptor) else { return "the way back stalls" }
        return answer == bytes ? nil : "\(answer.count) of \(bytes.count) bytes came back"
    }

    static func send(_ descriptor: Int32, _ bytes: [UInt8]) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(
                    descriptor,
                    $0.baseAddress?.advanced(by: sent),
                    bytes.count - sent,
                    Int32(MSG_NOSIGNAL)
                )
            }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Receives until the other end has sent all; nil if it stops before that.
    static func receive(_ descriptor: Int32) -> [UInt8]? {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count >= 0 else { return nil }
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }
}
