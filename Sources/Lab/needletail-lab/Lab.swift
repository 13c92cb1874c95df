internal import ArgumentParser

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
            BenchCommand.self,
            ReadCommand.self, SoakCommand.self,
        ]
    )
}

/// An error that ends the program with a message of one line.
struct LabError: Error, CustomStringConvertible {
    let description: String

    init(_ description: String) { self.description = description }
}
