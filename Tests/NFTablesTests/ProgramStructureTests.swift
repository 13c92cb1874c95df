import NFTables
import NetworkTypes
import ServicePlan
import Testing

/// What the kernel checks of any ruleset, for every variant of the program.
@Suite struct ProgramStructureTests {
    private static let programs: [Program] = {
        var variants: [Program.Variant] = []
        for role in [TableRole.balancer, .policy] {
            for detection in [
                LocalDetection.none, .podCIDRs, .interface("cni0"), .interfacePrefix("veth"),
            ] {
                for bits in 0..<8 {
                    var variant = Program.Variant()
                    (variant.role, variant.localDetection) = (role, detection)
                    variant.countsConnections = bits & 1 != 0 && role == .balancer
                    variant.remembersClients = bits & 2 != 0
                    variant.inherits = bits & 4 != 0 && role == .balancer
                    variants.append(variant)
                }
            }
        }
        var numbers = ProgramNumbers()
        (numbers.poolSizes, numbers.localPoolSizes) = ([2, 1, 512], [1])
        (numbers.affinityTimeouts, numbers.sourceLengths) = ([10_800, 60], [32, 8])
        return variants.flatMap { variant in
            IPFamily.allCases.map { Program($0, variant, numbers: numbers) }
        }
    }()

    private struct Use {
        let set: SetID
        let key: [PacketField]
    }

    private func uses(_ statement: Statement) -> [Use] {
        switch statement {
        case .lookup(let fields, let set, _): [Use(set: set, key: fields)]
        case .dnat(let fields, let map), .verdict(let fields, let map):
            [Use(set: map, key: fields)]
        case .remember:
            [Use(set: .affinity, key: [.originalClientBucket] + PacketField.originalFrontend)]
        default: []
        }
    }

    private func isVerdict(_ statement: Statement) -> Bool {
        switch statement {
        case .reject, .drop, .returning, .jump, .goto, .masquerade, .keepDestination: true
        default: false
        }
    }

    /// The chains that a chain leads to, those of map elements among them.
    private func callees(_ chain: Chain, _ program: Program) -> [Chain.Name] {
        chain.rules.flatMap(\.statements).flatMap { statement -> [Chain.Name] in
            switch statement {
            case .jump(let name), .goto(let name): [name]
            case .verdict(_, .stickyTimeouts):
                program.numbers.affinityTimeouts.map { .rememberFor(seconds: $0) }
            default: []
            }
        }
    }

    /// Calls the body for each chain that a base chain reaches, at each depth.
    private func walk(_ program: Program, _ body: (BaseChain, Chain, _ depth: Int) -> Void) {
        func visit(_ base: BaseChain, _ chain: Chain, _ depth: Int) {
            body(base, chain, depth)
            guard depth < 16 else { return }
            for name in callees(chain, program) {
                program.chain(name).map { visit(base, $0, depth + 1) }
            }
        }
        for chain in program.chains { chain.base.map { visit($0, chain, 0) } }
    }

    @Test func `every set that a rule asks is there, and has a key of that length`() {
        for program in Self.programs {
            let sets = Dictionary(uniqueKeysWithValues: program.sets.map { ($0.id, $0) })
            for use in program.chains.flatMap(\.rules).flatMap(\.statements).flatMap(uses) {
                let definition = sets[use.set]
                #expect(definition != nil, "\(use.set.name)")
                #expect(
                    definition?.keyLength(program.family)
                        == use.key.registerBytes(program.family),
                    "\(use.set.name)"
                )
            }
        }
    }

    // net/netfilter/nf_tables_api.c: nf_tables_newrule looks chains up as rules are added.
    @Test func `a chain is there before a rule leads to it, and each one is led to`() {
        for program in Self.programs {
            var known: Set<Chain.Name> = []
            var used: Set<Chain.Name> = []
            for chain in program.chains {
                let callees = callees(chain, program)
                #expect(known.isSuperset(of: callees), "\(chain.name)")
                #expect(known.insert(chain.name).inserted, "\(chain.name) twice")
                used.formUnion(callees)
            }
            let regular = program.chains.filter { $0.base == nil }.map(\.name)
            #expect(used == Set(regular))
        }
    }

    @Test func `nothing stands behind a verdict`() {
        for program in Self.programs {
            for rule in program.chains.flatMap(\.rules) {
                #expect(!rule.statements.isEmpty)
                for statement in rule.statements.dropLast() {
                    #expect(!isVerdict(statement), "\(RulesetPrinter(.ipv4).text(rule))")
                }
            }
        }
    }

    // net/netfilter/nft_nat.c: nft_nat_validate; nft_masq.c: nft_masq_validate;
    // nft_reject_inet.c: nft_reject_inet_validate; NFT_JUMP_STACK_SIZE is 16.
    @Test func `translation and refusals are only where the kernel allows them`() {
        for program in Self.programs {
            walk(program) { base, chain, depth in
                #expect(depth < 16)
                for statement in chain.rules.flatMap(\.statements) {
                    switch statement {
                    case .dnat, .keepDestination:
                        #expect(base.type == .nat)
                        #expect([.prerouting, .output].contains(base.hook))
                    case .masquerade:
                        #expect(base.type == .nat && base.hook == .postrouting)
                    case .reject:
                        #expect([.input, .forward, .output].contains(base.hook))
                    default: break
                    }
                }
            }
        }
    }

    @Test func `a reset answers TCP alone`() {
        for rule in Self.programs.flatMap(\.chains).flatMap(\.rules)
        where rule.statements.contains(.reject(withReset: true)) {
            #expect(rule.statements.contains(.transport(.tcp)))
        }
    }

    // net/netfilter/nf_tables_api.c: NAT chains below priority -200 come before conntrack.
    @Test func `no chain that asks conntrack comes before it`() {
        for program in Self.programs {
            for chain in program.chains {
                guard let base = chain.base else { continue }
                #expect(base.priority > -200)
            }
        }
    }

    @Test func `each number of the Services has its rule, chain or set, and no other has`() {
        for program in Self.programs {
            var empty = program
            empty.numbers = ProgramNumbers()
            let count = { (name: Chain.Name, program: Program) in
                program.chain(name)?.rules.count ?? 0
            }
            #expect(count(.pick, program) - count(.pick, empty) == 3)
            #expect(
                count(.pickLocal, program) - count(.pickLocal, empty)
                    == (program.variant.role == .balancer ? 1 : 0)
            )
            #expect(count(.sourceRanges, program) - count(.sourceRanges, empty) == 2)
            #expect(program.chains.count - empty.chains.count == 2)
            #expect(program.sets.count - empty.sets.count == 2)
        }
    }
}
