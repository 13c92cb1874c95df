internal import FoundationEssentials

/// What a plugin prints: an ExecCredential in JSON.
extension ExecPlugin {
    func credential(_ output: [UInt8]) throws(ClientError) -> ExecCredential {
        let answer: Answer
        do {
            answer = try JSONDecoder().decode(Answer.self, from: Data(output))
        } catch {
            // The error's own text is left out, because it may quote a secret.
            throw problem("printed no ExecCredential in JSON")
        }
        guard answer.apiVersion == apiVersion else {
            throw problem("printed apiVersion \(answer.apiVersion); \(apiVersion) was asked for")
        }
        guard let status = answer.status,
            status.token != nil || status.clientCertificateData != nil
        else { throw problem("printed neither a token nor a client certificate") }
        guard (status.clientCertificateData == nil) == (status.clientKeyData == nil) else {
            throw problem("printed a client certificate without its key, or the key alone")
        }
        let expiration = status.expirationTimestamp.map { text in
            // An unreadable time counts as past: running the plugin too often is better than being
            // refused.
            (try? Date(text, strategy: .iso8601))?.timeIntervalSince1970 ?? 0
        }
        return ExecCredential(
            token: status.token,
            clientCertificate: status.clientCertificateData.map { Array($0.utf8) },
            clientKey: status.clientKeyData.map { Array($0.utf8) },
            expiration: expiration
        )
    }

    private struct Answer: Decodable {
        struct Status: Decodable {
            let token: String?
            let clientCertificateData: String?
            let clientKeyData: String?
            let expirationTimestamp: String?
        }
        let apiVersion: String
        let status: Status?
    }
}
