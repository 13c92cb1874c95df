internal import ClusterStore
internal import IPVS
internal import IPVSKernel
internal import NFTablesKernel
internal import NetworkTypes
internal import Netlink
internal import ServiceLifecycle
internal import Syncer

/// Rings the syncer for everything that it must look at.
struct SyncLoop: Service {
    let syncer: Syncer
    let store: ClusterStore
    let dataplane: OpenDataplane

    func run() async throws {
        let foreign = await dataplane.nftables.foreignChanges()
        let groups = InterfaceAddresses.groups
        let nodeAddresses = try NetlinkSubscription(.route, groups: groups).changes {
            InterfaceAddresses.isChange($0, except: VirtualDevice.name) ? () : nil
        }
        let ipvs = dataplane.active as? IPVSDataplane
        // Without a reader they would pile up.
        let lostAddresses =
            ipvs == nil
            ? nil
            : try NetlinkSubscription(.route, groups: groups).changes {
                InterfaceAddresses.removed($0)
            }
        await withDiscardingTaskGroup { group in
            group.addTask { await syncer.run() }
            group.addTask { await syncer.maintain() }
            group.addTask {
                for await _ in store.changes { await syncer.onClusterChange() }
            }
            group.addTask {
                for await _ in foreign { await syncer.onForeignChange(.table) }
            }
            group.addTask {
                for await _ in nodeAddresses {
                    if let addresses = try? InterfaceAddresses.read(except: VirtualDevice.name) {
                        await syncer.onInterfaceAddresses(addresses)
                    }
                }
            }
            if let ipvs, let lostAddresses {
                group.addTask {
                    // Nil: something was missed.
                    for await address in lostAddresses where await ipvs.misses(address) {
                        await syncer.onForeignChange(.addresses)
                    }
                }
            }
            try? await gracefulShutdown()
            group.cancelAll()
        }
    }
}
