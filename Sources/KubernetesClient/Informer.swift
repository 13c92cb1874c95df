internal import CNeedleShim
package import KubernetesModel
package import Logging

/// Keeps a listener in step with all objects of one kind: a list, then a watch from there.
package struct Informer<Object: Resource>: Sendable {
    package enum Event: Sendable {
        /// The whole list; objects that are not in it are gone, but for those that were there and
        /// cannot be read now.
        case replaced([Object], unreadable: Set<ObjectName>)
        case set(Object)
        case removed(Object)
    }

    private let client: APIClient
    private let nodeName: String
    private let isOptional: Bool
    private let age: ViewAge
    private let logger: Logger
    private let backoff: WatchPolicy.Backoff

    /// - Parameters:
    ///   - isOptional: an API server without this kind has none of them
    ///   - age: is told whenever the server was heard
    ///   - firstPause: after a first failure; it doubles with each further one
    package init(
        _ client: APIClient,
        nodeName: String,
        isOptional: Bool = false,
        age: ViewAge = ViewAge(),
        firstPause: Duration = .milliseconds(800),
        logger: Logger
    ) {
        self.client = client
        self.nodeName = nodeName
        self.isOptional = isOptional
        self.age = age
        self.logger = logger
        backoff = WatchPolicy.Backoff(first: firstPause)
    }

    /// Reports to the listener until the task is cancelled.
    ///
    /// What was reported stays true while the API server is away.
    package func run(_ listener: @Sendable (Event) async -> Void) async {
        var state = State(policy: WatchPolicy(backoff: backoff))
        while !Task.isCancelled {
            let pause: Duration
            do throws(ClientError) {
                pause = try await step(&state, listener)
            } catch {
                guard !Task.isCancelled else { return }
                pause = await recover(from: error, &state, listener)
            }
            if pause > .zero { try? await Task.sleep(for: pause) }
        }
    }

    private struct State {
        var policy: WatchPolicy
        /// Servers before 1.22 refuse some field selectors.
        var usesFieldSelector = true
        var isAway = false
        /// What the last list had that could not be read.
        var suspects: Set<UnreadableObject> = []

        /// Objects that cannot be read are left out only if the next list has the same ones, byte
        /// for byte: they may have been damaged on their way.
        mutating func confirm(_ unreadable: [UnreadableObject]) throws(ClientError) {
            let isKnown = suspects == Set(unreadable)
            suspects = Set(unreadable)
            guard !isKnown, let first = unreadable.first else { return }
            let rest = unreadable.count > 1 ? ", and \(unreadable.count - 1) more" : ""
            throw .malformed(
                request: "list of \(Object.kind) objects",
                reason: "\(first)\(rest)"
            )
        }
    }

    /// Returns how long to wait before the next step.
    private func step(
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async throws(ClientError) -> Duration {
        switch state.policy.next {
        case .list(let list):
            try await self.list(list, &state, listener)
            releaseFreeMemory()
            return .zero
        case .streamingList(let version):
            return try await stream(notOlderThan: version, &state, listener)
        case .watch(let version): return try await watch(from: version, &state, listener)
        }
    }

    // MARK: List

    private static var pageSize: String { "500" }

    private func list(
        _ list: WatchPolicy.List,
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async throws(ClientError) {
        let page = try await wholeList(list, selectors(state))
        try state.confirm(page.unreadable)
        await replace(page.objects, page.unreadable, listener)
        heard(&state)
        state.policy.onList(version: page.resourceVersion)
    }

    private func wholeList(
        _ list: WatchPolicy.List,
        _ selectors: URLQuery
    ) async throws(ClientError) -> ListPage<Object> {
        var query = selectors
        switch list {
        case .cached:
            query.add("resourceVersion", "0")
            query.add("limit", Self.pageSize)
        case .notOlderThan(let version):
            query.add("resourceVersion", version)
            query.add("resourceVersionMatch", "NotOlderThan")
            query.add("limit", Self.pageSize)
        case .mostRecent(let isPaged): query.add("limit", isPaged ? Self.pageSize : "")
        }
        var whole: ListPage<Object> = try await client.page(Object.self, query)
        while !whole.continueToken.isEmpty {
            var query = selectors
            query.add("limit", Self.pageSize)
            query.add("continue", whole.continueToken)
            let page: ListPage<Object> = try await client.page(Object.self, query)
            whole.objects += page.objects
            whole.unreadable += page.unreadable
            whole.continueToken = page.continueToken
        }
        return whole
    }

    private func replace(
        _ objects: [Object],
        _ unreadable: [UnreadableObject],
        _ listener: (Event) async -> Void
    ) async {
        for object in unreadable { report(object) }
        await listener(.replaced(objects, unreadable: Set(unreadable.compactMap(\.name))))
    }

    // MARK: Watch

    private func watch(
        from version: String,
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async throws(ClientError) -> Duration {
        var query = selectors(state)
        query.addWatch()
        query.add("resourceVersion", version)
        let start = ContinuousClock.now
        var hadEvents = false
        try await client.watch(Object.self, query) { event in
            hadEvents = true
            heard(&state)
            await report(event, listener)
            state.policy.onEvent(version: event.resourceVersion)
            return true
        }
        return state.policy.onEnd(
            after: ContinuousClock.now - start,
            hadEvents: hadEvents,
            jitter: .random(in: 0...1)
        )
    }

    /// A list that comes as events (`sendInitialEvents`), and the watch behind it.
    private func stream(
        notOlderThan version: String,
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async throws(ClientError) -> Duration {
        var query = selectors(state)
        query.addWatch()
        query.add("sendInitialEvents", "true")
        query.add("resourceVersionMatch", "NotOlderThan")
        query.add("resourceVersion", version)
        var initial: InitialEvents<Object>? = InitialEvents()
        var doubt: ClientError?
        try await client.watch(Object.self, query) { event in
            if initial == nil {
                heard(&state)
                await report(event, listener)
                state.policy.onEvent(version: event.resourceVersion)
            } else if case .bookmark(endsInitialEvents: true) = event.payload {
                do throws(ClientError) {
                    try await complete(&initial, event.resourceVersion, &state, listener)
                } catch {
                    doubt = error
                    return false
                }
                releaseFreeMemory()
            } else {
                initial?.add(event)
            }
            return true
        }
        if let doubt { throw doubt }
        guard initial != nil, !Task.isCancelled else { return .zero }
        return state.policy.onIncompleteStream()
    }

    /// Tells the initial events as one list.
    private func complete(
        _ initial: inout InitialEvents<Object>?,
        _ version: String,
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async throws(ClientError) {
        guard let list = initial else { return }
        try state.confirm(list.unreadable)
        initial = nil
        heard(&state)
        await replace(Array(list.objects.values), list.unreadable, listener)
        state.policy.onList(version: version)
    }

    private func report(
        _ event: WatchEvent<Object>,
        _ listener: (Event) async -> Void
    ) async {
        switch event.payload {
        case .set(let object): await listener(.set(object))
        case .removed(let object): await listener(.removed(object))
        case .unreadable(let object): report(object)
        case .bookmark, .error: break
        }
    }

    private func report(_ object: UnreadableObject) {
        logger.warning("\(Object.kind) \(object) (skipped; what was there before stays)")
    }

    // MARK: Failures

    private func heard(_ state: inout State) {
        if state.isAway {
            let silence = age.current(Object.kind).map { " after \($0)" } ?? ""
            logger.notice("\(Object.kind) objects are followed again\(silence)")
            state.isAway = false
        }
        age.reset(Object.kind)
    }

    private func recover(
        from error: ClientError,
        _ state: inout State,
        _ listener: (Event) async -> Void
    ) async -> Duration {
        if isOptional, error.isNotFound {
            await listener(.replaced([], unreadable: []))
            heard(&state)
            return .seconds(600)
        }
        if error.status?.code == 400, state.usesFieldSelector, Object.hasOptionalFieldSelector {
            state.usesFieldSelector = false
            return .zero
        }
        let pause = state.policy.onFailure(error, jitter: .random(in: 0...1))
        guard pause > .zero else { return .zero }
        state.isAway = true
        logger.warning(
            "\(Object.kind) objects cannot be followed; what was programmed stays",
            metadata: ["error": "\(error)", "retry": "\(pause)"]
        )
        return pause
    }

    private func selectors(_ state: State) -> URLQuery {
        var query: URLQuery = [:]
        query.add("labelSelector", Object.labelSelector)
        if state.usesFieldSelector {
            query.add("fieldSelector", Object.fieldSelector(nodeName: nodeName))
        }
        return query
    }
}

extension Informer {
    /// The whole list, once; what cannot be read is told and left out.
    package func list() async throws(ClientError) -> [Object] {
        var state = State(policy: WatchPolicy())
        while true {
            do throws(ClientError) {
                let page = try await wholeList(.mostRecent(isPaged: true), selectors(state))
                for object in page.unreadable { report(object) }
                return page.objects
            } catch {
                if isOptional, error.isNotFound { return [] }
                guard error.status?.code == 400, state.usesFieldSelector else { throw error }
                state.usesFieldSelector = false
            }
        }
    }
}

extension URLQuery {
    fileprivate mutating func addWatch() {
        add("watch", "true")
        add("allowWatchBookmarks", "true")
        // Not all watches of all nodes at the same time.
        add("timeoutSeconds", "\(Int.random(in: 300..<600))")
    }
}

/// What a list needed on its way goes back to the system: the allocator keeps it otherwise, and a
/// list comes seldom.
private func releaseFreeMemory() { needle_release_free_memory() }

/// The objects of a streaming list that is not complete yet.
private struct InitialEvents<Object: Resource> {
    private(set) var objects: [ObjectName: Object] = [:]
    private(set) var unreadable: [UnreadableObject] = []

    mutating func add(_ event: WatchEvent<Object>) {
        switch event.payload {
        case .set(let object): objects[object.objectName] = object
        case .removed(let object): objects[object.objectName] = nil
        case .unreadable(let object): unreadable.append(object)
        case .bookmark, .error: break
        }
    }
}
