internal import ArgumentParser
internal import Glibc
internal import IPVSKernel
internal import Logging
internal import NFTablesKernel
internal import NetworkTypes
internal import PlanCompiler
internal import ServicePlan

/// How the kernel is programmed.
enum Mode: String, ExpressibleByArgument, CaseIterable {
    case nftables
    case ipvs

    var balancer: Balancer { self == .ipvs ? .ipvs : .nftables }
}

struct ModeOptions: ParsableArguments {
    @Option(
        name: [.long, .customLong("proxy-mode")],
        help: "How to program the kernel: nftables, or ipvs."
    )
    var mode = Mode.nftables

    @OptionGroup var ipvs: IPVSOptions
}

extension NodeOptions {
    func configuration(_ mode: Mode) throws -> NodeConfiguration {
        var configuration = try configuration()
        configuration.balancer = mode.balancer
        return configuration
    }
}

func openNFTables(_ logger: Logger) throws(CommitError) -> NFTablesDataplane {
    // The file is there exactly if the kernel speaks IPv6.
    let families: [IPFamily] =
        access("/proc/net/if_inet6", F_OK) == 0 ? [.ipv4, .ipv6] : [.ipv4]
    return try NFTablesDataplane(families: families, logger: logger)
}

/// What programs this node's kernel.
struct OpenDataplane {
    /// The tables, in either mode.
    let nftables: NFTablesDataplane
    /// Whom to hand plans to.
    let active: any Dataplane

    init(_ options: ModeOptions, _ logger: Logger) throws {
        do throws(CommitError) {
            nftables = try openNFTables(logger)
            if options.mode == .ipvs || IPVSDataplane.hasLeftovers() {
                active = try IPVSDataplane(
                    policy: nftables,
                    options.ipvs.settings,
                    isRetiring: options.mode != .ipvs,
                    logger: logger
                )
            } else {
                active = nftables
            }
        } catch {
            throw Failure("\(error)")
        }
    }
}
