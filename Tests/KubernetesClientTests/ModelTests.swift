import EmbeddedAPIServer
import FoundationEssentials
@testable import KubernetesClient
import KubernetesModel
import TestSupport
import Testing

/// Tests with random changes and faults: a listener must see the states of the server in order.
@Suite(.timeLimit(.minutes(30))) struct ModelTests {
    private static let steps = 10_000

    @Test(arguments: WireEncoding.allCases)
    func `the view goes through states of the server only, and ends as the server's`(
        encoding: WireEncoding
    ) async throws {
        let seed = UInt64.random(in: 0...(.max))
        print("ModelTests seed: \(seed)")
        var random = Seeded(seed)
        var configuration = APIServer.Configuration()
        configuration.bookmarkInterval = .milliseconds(20)
        let server = APIServer(configuration)
        let listener = try server.listen()
        listener.start()
        defer { server.stop() }
        var patience = APIClient.Patience()
        (patience.request, patience.watch) = (.seconds(1), .seconds(1))
        let client = APIClient(
            Credentials(server: listener.url),
            encoding: encoding,
            patience: patience
        )
        var services = Observed<Service>(
            Informer(
                client,
                nodeName: "here",
                firstPause: .microseconds(100),
                logger: .silent
            )
        )
        var model = Model()
        for step in 1...Self.steps {
            change(server, &model, marker: UInt16(step), &random)
            if Int.random(in: 0..<10, using: &random) == 0 { disturb(server, step, &random) }
            if step.isMultiple(of: 25) || step == Self.steps {
                let state = model.state
                await services.wait { Model.state($0) == state }
            }
        }
        services.stop()
        try model.check(services.history)
        // If this fails, nothing was disturbed.
        #expect(server.requests.count > 50)
        #expect(Model.state(services.view) == model.state)
    }

    private func change(
        _ server: APIServer,
        _ model: inout Model,
        marker: UInt16,
        _ random: inout Seeded
    ) {
        let name = "s\(Int.random(in: 0..<20, using: &random))"
        if Int.random(in: 0..<4, using: &random) == 0 {
            if server.delete("Service", "default", name) != nil { model.append(name, nil) }
        } else if (try? server.apply(Sample.service(name, port: Int64(marker)))) != nil {
            model.append(name, marker)
        }
    }

    private func disturb(_ server: APIServer, _ step: Int, _ random: inout Seeded) {
        if Int.random(in: 0..<20, using: &random) == 0 { server.compact() }
        // Each connection that stalls costs a second.
        let kinds = Fault.Kind.allCases.filter { $0 != .stall || step.isMultiple(of: 500) }
        guard let kind = kinds.randomElement(using: &random) else { return }
        server.inject(
            Fault(
                kind,
                path: "/api/v1/services",
                afterEvents: Int.random(in: 0..<8, using: &random),
                code: [429, 500, 503].randomElement(using: &random) ?? 503
            )
        )
    }
}

/// Every state that the server had, stored as the changes that led to it.
private struct Model {
    typealias State = [String: UInt16]

    private var changes: [(name: String, marker: UInt16?)] = []
    private(set) var state: State = [:]

    mutating func append(_ name: String, _ marker: UInt16?) {
        changes.append((name, marker))
        state[name] = marker
    }

    static func state(_ view: [String: Service]) -> State {
        view.compactMapValues { $0.ports.first?.port }
    }

    /// Follows the states along the events; each event must match a state, and none may come again.
    func check(_ events: [Informer<Service>.Event]) throws {
        var (past, view): (State, State) = ([:], [:])
        var rest = changes[...]
        for (index, event) in events.enumerated() {
            switch event {
            case .set(let service): view[service.name.name] = service.ports.first?.port
            case .removed(let name): view[name.name] = nil
            case .refused: break
            case .replaced(let list, let unreadable):
                #expect(unreadable.isEmpty || list.count < 20)
                view = view.filter {
                    unreadable.contains(ObjectName(namespace: "default", name: $0.key))
                }
                for service in list { view[service.name.name] = service.ports.first?.port }
            }
            while past != view, let change = rest.popFirst() { past[change.name] = change.marker }
            try #require(past == view, "event \(index) shows what the server did not have by then")
        }
    }
}
