internal import ArgumentParser
internal import FoundationEssentials
internal import KubernetesClient
internal import Observability

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the status of the daemon on this node.",
        discussion: "Exit status: 0 ready; 1 not ready, or no answer."
    )

    enum Format: String, ExpressibleByArgument, CaseIterable { case text, json }

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = Format.text

    @Option(help: "The address at which the daemon serves metrics.")
    var address = "127.0.0.1:10249"

    func run() async throws {
        let bytes: [UInt8]
        do throws(ClientError) {
            let client = APIClient(Credentials(server: "http://\(address)"))
            bytes = try await client.send("GET", "/status")
        } catch {
            throw Failure(
                "no daemon answers at \(address): \(error); is it running on this node, and is this its"
                    + " metricsBindAddress (--address)?"
            )
        }
        guard let status = try? JSONDecoder().decode(StatusDocument.self, from: Data(bytes)) else {
            throw Failure(
                "the answer from \(address) is not from needletail \(Needletail.version); does kube-proxy or"
                    + " another version of needletail run there?"
            )
        }
        switch output {
        case .json: print(status.json)
        case .text: print(StatusText.lines(status).joined(), terminator: "")
        }
        if !status.ready { throw ExitCode.failure }
    }
}
