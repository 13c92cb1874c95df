import KubernetesModel
import NetworkTypes
import PlanCompiler
import ServicePlan
import TestSupport
import Testing

/// What is explained is what is programmed.
@Suite struct FlowAgreementTests {
    private func explained(
        _ frontend: Frontend,
        _ plan: ServicePlan,
        _ client: FlowExplanation.Client,
        sources: [IPPrefix] = [],
        canTellPods: Bool = true
    ) -> FlowExplanation {
        FlowExplanation(
            frontend,
            of: plan,
            from: client,
            sources: sources,
            canTellPods: canTellPods,
            absence: "there is none"
        )
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `everyone is sent to the pool that the frontend has for them`(seed: UInt64) {
        var random = RandomPlans(seed: seed)
        for index in 0..<20 {
            let plan = random.plan(index)
            for frontend in plan.frontends where frontend.allowedSources == nil {
                for client in [FlowExplanation.Client.pod, .node, .outside] {
                    let flow = explained(frontend, plan, client)
                    let pools = plan.pools(of: frontend)
                    switch frontend.action {
                    case .reject:
                        #expect(flow.outcome == .rejected && flow.why == "there is none")
                        #expect(flow.endpoints.isEmpty)
                    case .drop: #expect(flow.outcome == .dropped && flow.endpoints.isEmpty)
                    case .balance:
                        #expect(flow.outcome == .balanced)
                        #expect(flow.endpoints == pools.cluster?.endpoints.map(\.place))
                    case .split(_, let local):
                        let isDropped = client == .outside && local == nil
                        #expect(flow.outcome == (isDropped ? .dropped : .balanced))
                        let pool = client == .outside ? pools.local : pools.cluster
                        #expect(flow.endpoints == (pool?.endpoints.map(\.place) ?? []))
                    }
                }
            }
        }
    }

    @Test func `who is masqueraded depends on the frontend and on what tells pods`() {
        let builder = ClusterBuilder().with { $0.add(endpoint("10.0.0.1")) }
        guard let plan = builder.compile().plan, var frontend = plan.frontends.first else {
            Issue.record("no plan")
            return
        }
        let masqueraded = { (client: FlowExplanation.Client, canTellPods: Bool) in
            explained(frontend, plan, client, canTellPods: canTellPods).isMasqueraded
        }
        frontend.masquerade = .everyone
        #expect(masqueraded(.pod, true) && masqueraded(.outside, false) && masqueraded(.node, true))
        frontend.masquerade = .nonPods
        #expect(!masqueraded(.pod, true) && masqueraded(.node, true) && masqueraded(.outside, true))
        #expect(!masqueraded(.outside, false), "nothing tells pods from others")
        frontend.masquerade = .node
        #expect(
            !masqueraded(.pod, true) && masqueraded(.node, true) && !masqueraded(.outside, true)
        )
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `source ranges grant, refuse or depend on the address`(seed: UInt64) {
        var random = Seeded(seed)
        let builder = ClusterBuilder().with { $0.add(endpoint("10.0.0.1")) }
        guard let plan = builder.compile().plan, var frontend = plan.frontends.first else {
            Issue.record("no plan")
            return
        }
        let block = { (random: inout Seeded) in
            IPPrefix(
                IPAddress(ipv4: 0x0A00_0000 + UInt32.random(in: 0..<32, using: &random)),
                length: Int.random(in: 27...32, using: &random)
            )
        }
        for _ in 0..<100 {
            let ranges = (0..<Int.random(in: 1...3, using: &random)).compactMap { _ in
                block(&random)
            }
            guard let source = block(&random) else { continue }
            frontend.allowedSources = ranges
            let flow = explained(frontend, plan, .outside, sources: [source])
            // Every address that the client may have, one by one.
            let admitted = (0..<32 as Range<UInt32>).map { IPAddress(ipv4: 0x0A00_0000 + $0) }
                .filter(source.contains)
                .map { address in ranges.contains { $0.contains(address) } }
            if !admitted.contains(true) {
                #expect(flow.outcome == .dropped && flow.why.contains("in none of"))
            } else {
                #expect(flow.outcome == .balanced)
                // Several ranges together may cover what none of them does alone.
                if admitted.contains(false) { #expect(flow.why.contains("dropped otherwise")) }
                if ranges.contains(where: { $0.contains(source) }) {
                    #expect(!flow.why.contains("dropped otherwise"))
                }
            }
        }
        frontend.allowedSources = []
        #expect(explained(frontend, plan, .outside).outcome == .dropped)
        frontend.allowedSources = [prefix("10.0.0.0/8")]
        #expect(explained(frontend, plan, .outside).why.contains("dropped otherwise"))
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func `a verdict about an endpoint is what the plan has`(seed: UInt64) throws {
        var random = Seeded(seed)
        for _ in 0..<20 {
            var builder = ClusterBuilder()
            builder.service.type = .nodePort
            builder.service.ports[0].nodePort = 30_080
            builder.service.externalTrafficPolicy = .local
            builder.add(endpoint("10.0.0.1"))
            builder.slices[0].endpoints = (1...5).map { number in
                let isTerminating = Bool.random(using: &random)
                let isServing = Bool.random(using: &random)
                return endpoint(
                    "10.0.0.\(number)",
                    on: Bool.random(using: &random) ? "here" : "there",
                    ready: isServing && !isTerminating,
                    serving: isServing,
                    terminating: isTerminating,
                    zones: Bool.random(using: &random) ? ["zone-a"] : ["zone-b"]
                )
            }
            let compiler = PlanCompiler(node: builder.node)
            let verdicts = compiler.verdicts(builder.service.ports[0], .ipv4, in: builder.slices)
            #expect(verdicts.count == 5)
            let plan = try #require(builder.compile().plan)
            let frontend = try #require(plan.frontends.first { $0.kind == .nodePort })
            let pools = plan.pools(of: frontend)
            let names = { (pool: Pool?) in Set(pool?.endpoints.map(\.description) ?? []) }
            #expect(Set(verdicts.filter(\.servesCluster).map(\.endpoint)) == names(pools.cluster))
            if pools.cluster != nil {
                #expect(Set(verdicts.filter(\.servesLocal).map(\.endpoint)) == names(pools.local))
            }
            for verdict in verdicts where verdict.reason == "ready" {
                #expect(verdict.servesCluster)
            }
        }
    }
}
