internal import ArgumentParser
internal import Glibc

/// Clusters of network namespaces on one machine, for demonstrations, exploration and benchmarks.
@main
struct Lab: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "needletail-lab",
        abstract: "Clusters of network namespaces on one machine, with needletail on each node.",
        subcommands: [
            DemoCommand.self, UpCommand.self, DownCommand.self, NetworksCommand.self,
            StatusCommand.self, ExecCommand.self, CurlCommand.self, CaptureCommand.self,
            DrawCommand.self,
            BenchCommand.self, ConnectionBenchCommand.self,
            ReadCommand.self, MeasureCommand.self, ReconcileCommand.self, SoakCommand.self,
            ChurnCommand.self,
        ]
    )
}

/// Waits until something holds; a complaint is thrown if it does not come to that.
func waitUntil(
    _ complaint: @autoclosure () -> String,
    within limit: Duration = .seconds(60),
    pause: Duration = .milliseconds(20),
    _ holds: () throws -> Bool
) throws {
    let deadline = ContinuousClock.now + limit
    while try !holds() {
        guard .now < deadline else { throw LabError(complaint()) }
        usleep(useconds_t(pause / .microseconds(1)))
    }
}

/// What balances: nftables, or ipvs where the kernel has it.
enum ProxyMode: String, ExpressibleByArgument, CaseIterable {
    case nftables
    case ipvs
}

/// An error that ends the program with a message of one line.
struct LabError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
