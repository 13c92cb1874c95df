internal import ArgumentParser
internal import Observability

struct Status: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Show the status of the daemon on this node.",
        discussion: "Exit status: 0 ready; 1 not ready, or no answer."
    )

    @Option(name: .shortAndLong, help: "text, or json.")
    var output = TextOrJSON.text

    @Option(help: "The address at which the daemon serves metrics.")
    var address = "127.0.0.1:10249"

    func run() async throws {
        let daemon = DaemonClient(address: address)
        let status = try daemon.decode(StatusDocument.self, await daemon.get("/status"))
        switch output {
        case .json: print(status.json)
        case .text: print(StatusText.lines(status).joined(), terminator: "")
        }
        if !status.ready { throw ExitCode.failure }
    }
}
