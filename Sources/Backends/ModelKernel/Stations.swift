internal import NFTables
internal import NetworkTypes

/// What the kernel calls at a hook, in its order.
struct Stations {
    enum Station {
        case conntrack
        /// IPVS.
        case balancer
        case chain(ChainPlace)
        /// All chains that translate; conntrack's entry decides which of them are asked.
        case translation([ChainPlace])
    }

    struct ChainPlace: Hashable {
        let table: Ruleset.TableID
        let name: String
    }

    private var byHook: [BaseChain.Hook: [Station]] = [:]

    init(_ ruleset: Ruleset, _ family: IPFamily, balances: Bool) {
        for hook in [
            BaseChain.Hook.prerouting, .input, .forward, .output, .postrouting,
        ] {
            byHook[hook] = Self.stations(ruleset, family, hook, balances)
        }
    }

    subscript(_ hook: BaseChain.Hook) -> [Station] { byHook[hook] ?? [] }

    /// Among equals who registered last is called first (`net/netfilter/core.c:
    /// nf_hook_entries_grow`).
    private static func stations(
        _ ruleset: Ruleset,
        _ family: IPFamily,
        _ hook: BaseChain.Hook,
        _ balances: Bool
    ) -> [Station] {
        var entries: [(priority: Int32, order: UInt64, station: Station)] = []
        var translating: [(priority: Int32, order: UInt64, place: ChainPlace)] = []
        for (id, table) in ruleset.tables where id.family.sees(family) && !table.isDormant {
            for (name, chain) in table.chains {
                guard let base = chain.base, base.hook == hook else { continue }
                let place = ChainPlace(table: id, name: name)
                if base.type == .nat {
                    translating.append((base.priority, base.order, place))
                } else {
                    entries.append((base.priority, base.order, .chain(place)))
                }
            }
        }
        if hook == .prerouting || hook == .output {
            entries.append((Self.conntrack, .max, .conntrack))
        }
        if let priority = translation(hook) {
            translating.sort { ($0.priority, $1.order) < ($1.priority, $0.order) }
            let order = translating.map(\.order).min() ?? 0
            entries.append((priority, order, .translation(translating.map(\.place))))
        }
        if balances, let priority = balancer(hook) {
            entries.append((priority, .max, .balancer))
        }
        entries.sort { ($0.priority, $1.order) < ($1.priority, $0.order) }
        return entries.map(\.station)
    }

    /// The value of `NF_IP_PRI_CONNTRACK`.
    private static let conntrack: Int32 = -200

    /// Whatever the priority of a chain that translates, the kernel calls it where it translates, in
    /// the order of priorities among its like (`net/netfilter/nf_nat_core.c: nf_nat_register_fn`;
    /// `NF_IP_PRI_NAT_DST` and `NF_IP_PRI_NAT_SRC`).
    private static func translation(_ hook: BaseChain.Hook) -> Int32? {
        switch hook {
        case .prerouting, .output: -100
        case .input, .postrouting: 100
        case .forward: nil
        }
    }
}
