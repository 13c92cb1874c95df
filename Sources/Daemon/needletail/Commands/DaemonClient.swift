internal import FoundationEssentials
internal import KubernetesClient
internal import NetworkTypes

/// Asks the daemon on this node.
struct DaemonClient {
    /// Exit status: nobody can tell.
    static let cannotTell: Int32 = 3

    let address: String
    private let client: APIClient

    init(address: String) {
        self.address = address
        client = APIClient(Credentials(server: "http://\(address)"))
    }

    /// Returns the body of the answer for a path.
    func get(_ path: String) async throws -> [UInt8] {
        do throws(ClientError) {
            return try await client.send("GET", path)
        } catch {
            throw failure(error, path)
        }
    }

    private func failure(_ error: ClientError, _ path: String) -> Failure {
        guard let status = error.status else {
            return Failure(
                "no daemon answers at \(address): \(error); is it running on this node, and is this its"
                    + " metricsBindAddress (--address)?"
            )
        }
        var message = status.message[...]
        while message.last?.isWhitespace == true { message.removeLast() }
        let page = path.prefix { $0 != "?" }
        switch status.code {
        case 404:
            return Failure(
                "the program at \(address) has no \(page): it is an older needletail than this one"
                    + " (\(Needletail.version)), or not needletail"
            )
        case 409, 410: return Failure("cannot tell: \(message)", status: Self.cannotTell)
        default: return Failure("\(address) refuses \(page): \(message)")
        }
    }

    /// Decodes an answer.
    func decode<Value: Decodable>(_: Value.Type, _ bytes: [UInt8]) throws -> Value {
        guard let value = try? JSONDecoder().decode(Value.self, from: Data(bytes)) else {
            throw Failure(
                "the answer from \(address) is not from needletail \(Needletail.version); does kube-proxy or"
                    + " another version of needletail run there?"
            )
        }
        return value
    }
}
