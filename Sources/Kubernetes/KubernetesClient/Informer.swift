internal import CNeedleShim
package import KubernetesModel
package import Logging

/// Keeps a listener up to date with all objects of one kind, by a list followed by a watch.
package struct Informer<Object: Resource>: Sendable {
    package enum Event: Sendable {
        /// The whole list: objects that are not in it are gone, except those that cannot be read.
        case replaced([Object], unreadable: UnreadableObjects)
        case set(Object)
        case removed(ObjectName)
        /// A refusal by the server, which will be asked again later.
        case refused
    }

    /// Gets an event, and the resource version of its object, or of the list; empty if there is none.
    package typealias Listener = @Sendable (_ event: Event, _ version: String) async -> Void

    let client: APIClient
    private let nodeName: String
    private let isOptional: Bool
    private let view: APIView
    private let logger: Logger
    private let backoff: WatchPolicy.Backoff
    private let initialLimit: Duration

    /// Makes an informer.
    ///
    /// - Parameters: - isOptional: an API server that lacks this kind counts as one without such
    ///   objects - view: receives how well the objects are followed - firstPause: the pause after a
    ///   first failure; it doubles with each further one - initialLimit: the time after which an
    ///   incomplete streaming list is given up
    package init(
        _ client: APIClient,
        nodeName: String,
        isOptional: Bool = false,
        view: APIView = APIView(),
        firstPause: Duration = .milliseconds(800),
        initialLimit: Duration = .seconds(10),
        logger: Logger
    ) {
        self.client = client
        self.nodeName = nodeName
        self.isOptional = isOptional
        self.view = view
        self.initialLimit = initialLimit
        self.logger = logger
        backoff = WatchPolicy.Backoff(first: firstPause)
    }

    /// Reports events to the listener until the task is cancelled.
    ///
    /// What was reported stays valid while the API server is away.
    package func run(_ listener: Listener) async {
        var state = State(policy: WatchPolicy(backoff: backoff))
        view.failed(Object.kind)
        while !Task.isCancelled {
            do throws(ClientError) {
                let pause = try await step(&state, listener)
                if pause > .zero { try? await Task.sleep(for: pause) }
            } catch {
                guard !Task.isCancelled else { return }
                let pause = await recover(from: error, &state, listener)
                guard pause > .zero else { continue }
                if error.isAbsence {
                    await client.serverReturn.wait(atMost: pause)
                } else {
                    try? await Task.sleep(for: pause)
                }
            }
        }
    }

    private struct State {
        var policy: WatchPolicy
        /// Whether to send the field selector; servers before 1.22 refuse some of them.
        var usesFieldSelector = true
        /// The reason why the objects are not followed now; nil if they are.
        var failure: String?
        var setAside = SetAside()
    }

    /// Takes the next step, and returns how long to wait after it.
    private func step(
        _ state: inout State,
        _ listener: Listener
    ) async throws(ClientError) -> Duration {
        switch state.policy.next {
        case .list(let list):
            let page = try await wholeList(list, selectors(state))
            await replace(page.objects, page.unreadable, page.resourceVersion, &state, listener)
            return .zero
        case .streamingList(let version):
            return try await stream(notOlderThan: version, &state, listener)
        case .watch(let version): return try await watch(from: version, &state, listener)
        }
    }

    // MARK: List

    private static var pageSize: String { "500" }

    private func wholeList(
        _ list: WatchPolicy.List,
        _ selectors: URLQuery,
        of part: ObjectSelection<Object> = ObjectSelection()
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
        var whole = try await client.page(Object.self, query, in: part.namespace)
        var progress = ListProgress()
        if !whole.continueToken.isEmpty { try progress.check(whole) }
        whole.objects = part.wanted(whole.objects)
        while !whole.continueToken.isEmpty {
            var query = selectors
            query.add("limit", Self.pageSize)
            query.add("continue", whole.continueToken)
            let page = try await client.page(Object.self, query, in: part.namespace)
            if !page.continueToken.isEmpty { try progress.check(page) }
            whole.objects += part.wanted(page.objects)
            whole.unreadable += page.unreadable
            whole.continueToken = page.continueToken
        }
        return whole
    }

    /// Reports a complete list, and returns the memory used to read it to the system.
    private func replace(
        _ objects: [Object],
        _ unreadable: [UnreadableObject],
        _ version: String,
        _ state: inout State,
        _ listener: Listener
    ) async {
        state.setAside.keep(only: unreadable)
        for object in unreadable { setAside(object, &state) }
        view.setUnreadable(state.setAside.count, Object.kind)
        await listener(.replaced(objects, unreadable: unreadable.names), version)
        heard(&state)
        state.policy.onList(version: version, hasUnreadable: !unreadable.isEmpty)
        // The allocator would keep that memory, although lists are rare.
        needle_release_free_memory()
    }

    // MARK: Watch

    private func watch(
        from version: String,
        _ state: inout State,
        _ listener: Listener
    ) async throws(ClientError) -> Duration {
        var query = selectors(state)
        query.addWatch()
        query.add("resourceVersion", version)
        let start = ContinuousClock.now
        var hadEvents = false
        try await client.watch(Object.self, query) { event in
            hadEvents = true
            await report(event, &state, listener)
            return true
        }
        return state.policy.onEnd(
            after: ContinuousClock.now - start,
            hadEvents: hadEvents,
            jitter: .random(in: 0...1)
        )
    }

    /// Runs a streaming list (`sendInitialEvents`) and the watch that follows it in the same
    /// request.
    private func stream(
        notOlderThan version: String,
        _ state: inout State,
        _ listener: Listener
    ) async throws(ClientError) -> Duration {
        var query = selectors(state)
        query.addWatch()
        query.add("sendInitialEvents", "true")
        query.add("resourceVersionMatch", "NotOlderThan")
        query.add("resourceVersion", version)
        var initial: InitialEvents<Object>? = InitialEvents()
        let limit = StreamLimit()
        let result = await withTaskGroup(of: Void.self) { group in
            group.addTask { await limit.run(initialLimit) }
            defer { group.cancelAll() }
            do throws(ClientError) {
                try await client.watch(Object.self, query, limit) { event in
                    guard let list = initial else {
                        await report(event, &state, listener)
                        return true
                    }
                    guard case .bookmark(endsInitialEvents: true) = event.payload else {
                        initial?.add(event)
                        return true
                    }
                    limit.keep()
                    initial = nil
                    let (objects, version) = (Array(list.objects.values), event.resourceVersion)
                    await replace(objects, list.unreadable, version, &state, listener)
                    // False ends this watch, because another list is needed.
                    return state.policy.isWatching
                }
                return Result<Void, ClientError>.success(())
            } catch {
                return .failure(error)
            }
        }
        if limit.isPassed {
            logger.notice(
                "\(Object.kind) objects: the streaming list was not complete after \(initialLimit); listing in pages from now on"
            )
            return state.policy.onIncompleteStream()
        }
        try result.get()
        guard initial != nil, !Task.isCancelled else { return .zero }
        return state.policy.onIncompleteStream()
    }

    private func report(
        _ event: WatchEvent<Object>,
        _ state: inout State,
        _ listener: Listener
    ) async {
        heard(&state)
        switch event.payload {
        case .set(let object):
            if state.setAside.remove(object.objectName) {
                logger.notice("\(Object.kind) \(object.objectName) can be read again")
            }
            await listener(.set(object), event.resourceVersion)
        case .removed(let name):
            _ = state.setAside.remove(name)
            await listener(.removed(name), event.resourceVersion)
        case .unreadable(let object): setAside(object, &state)
        case .bookmark, .error: break
        }
        view.setUnreadable(state.setAside.count, Object.kind)
        state.policy.onEvent(version: event.resourceVersion)
    }

    private func setAside(_ object: UnreadableObject, _ state: inout State) {
        guard state.setAside.insert(object) else { return }
        logger.warning(
            "\(Object.kind) \(object); it is set aside: what was known of it stays in force, until it can be read or is deleted"
        )
    }

    // MARK: Failures

    private func heard(_ state: inout State) {
        if state.failure != nil {
            let silence = view.age(Object.kind).map { " after \($0)" } ?? ""
            logger.notice("\(Object.kind) objects are followed again\(silence)")
            state.failure = nil
        }
        view.heard(Object.kind)
    }

    private func recover(
        from error: ClientError,
        _ state: inout State,
        _ listener: Listener
    ) async -> Duration {
        if isOptional, error.isNotFound {
            await listener(.replaced([], unreadable: UnreadableObjects()), "")
            heard(&state)
            return .seconds(600)
        }
        if error.status?.code == 400, state.usesFieldSelector, Object.hasOptionalFieldSelector {
            state.usesFieldSelector = false
            return .zero
        }
        let pause = state.policy.onFailure(error, jitter: .random(in: 0...1))
        guard pause > .zero else { return .zero }
        view.failed(Object.kind)
        if error.isRefusal { await listener(.refused, "") }
        // A failure that lasts for hours is logged once.
        let isNews = state.failure != "\(error)"
        state.failure = "\(error)"
        logger.log(
            level: isNews ? .warning : .debug,
            "\(Object.kind) objects cannot be followed; what was programmed stays",
            metadata: ["error": "\(error)", "retry": "\(pause)"]
        )
        return pause
    }

    private func selectors(
        _ state: State,
        of part: ObjectSelection<Object> = ObjectSelection()
    ) -> URLQuery {
        let joined = { (selectors: [String]) in
            selectors.filter { !$0.isEmpty }.joined(separator: ",")
        }
        var query: URLQuery = [:]
        query.add("labelSelector", joined([Object.labelSelector, part.labels]))
        if state.usesFieldSelector {
            let fields = Object.fieldSelector(nodeName: nodeName)
            query.add("fieldSelector", joined([fields, part.fields]))
        }
        return query
    }
}

extension Informer {
    /// Returns the whole list, or a part of it, once; objects that cannot be read are logged and left
    /// out.
    package func list(
        of part: ObjectSelection<Object> = ObjectSelection()
    ) async throws(ClientError) -> [Object] {
        var state = State(policy: WatchPolicy())
        while true {
            do throws(ClientError) {
                let page = try await wholeList(
                    .mostRecent(isPaged: true),
                    selectors(state, of: part),
                    of: part
                )
                for object in page.unreadable {
                    logger.warning("\(Object.kind) \(object); it is left out")
                }
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
        // A random timeout prevents all watches of all nodes from ending at the same time.
        add("timeoutSeconds", "\(Int.random(in: 300..<600))")
    }
}

/// The objects of a streaming list that is not yet complete.
private struct InitialEvents<Object: Resource> {
    private(set) var objects: [ObjectName: Object] = [:]
    /// The unreadable objects, by what is known of their names.
    private var setAside: [String: UnreadableObject] = [:]

    var unreadable: [UnreadableObject] { Array(setAside.values) }

    mutating func add(_ event: WatchEvent<Object>) {
        switch event.payload {
        case .set(let object):
            objects[object.objectName] = object
            if !setAside.isEmpty { setAside["\(object.objectName)"] = nil }
        case .removed(let name):
            objects[name] = nil
            setAside["\(name)"] = nil
        case .unreadable(let object): setAside[object.place] = object
        case .bookmark, .error: break
        }
    }
}
