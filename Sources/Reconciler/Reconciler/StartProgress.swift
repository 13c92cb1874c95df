internal import KubernetesModel
internal import Logging
internal import ServicePlan
internal import Synchronization

/// How far the first programming of everything has come, for the log, metrics and the status.
///
/// It may be read and told at any time, on any thread.
package final class StartProgress: Sendable {
    package struct Figures: Sendable, Hashable {
        /// How long it took until all lists had arrived that were waited for, from the start of the
        /// program; nil until then.
        package var lists: Duration?
        /// How long it took from then on until the first Services were programmed, which are those of
        /// the API server and DNS.
        package var firstServices: Duration?
        /// How long it took from then on until everything was programmed.
        package var all: Duration?
        /// The Services to be programmed, and those that are.
        ///
        /// While the first are compiled, Services
        /// count that will turn out to have nothing to program.
        package var services = 0
        package var programmed = 0

        package init() {}
    }

    private struct State {
        var figures = Figures()
        var listsAt: ContinuousClock.Instant?
        /// How many Services are the first.
        var firstCount = 1
        var lastLine: ContinuousClock.Instant?
    }

    private let state = Mutex(State())
    private let clock: any SyncClock
    private let began: ContinuousClock.Instant
    private let logger: Logger
    /// How long a start goes on without a further line in the log.
    private static let pause = Duration.seconds(1)

    init(clock: any SyncClock, logger: Logger) {
        (self.clock, self.logger, began) = (clock, logger, clock.now)
    }

    package var figures: Figures { state.withLock(\.figures) }

    /// The time of the change that completed the lists counts, not that of its application.
    func listsArrived(at moment: ContinuousClock.Instant, services: Int, endpoints: Int) {
        let took = state.withLock { state -> Duration? in
            guard state.listsAt == nil else { return nil }
            (state.listsAt, state.lastLine) = (moment, moment)
            state.figures.services = services
            state.figures.lists = moment - began
            return moment - began
        }
        guard let took else { return }
        logger.info(
            "the lists have arrived",
            metadata: [
                "services": "\(services)", "endpoints": "\(endpoints)",
                "after": "\(took.inMilliseconds)",
            ]
        )
    }

    func begins(with first: [ServicePlan]) {
        state.withLock { $0.firstCount = max(1, first.count { $0.need <= .dns }) }
    }

    func knows(services: Int) { state.withLock { $0.figures.services = services } }

    func programmed(_ count: Int) {
        let now = clock.now
        let (figures, isFirst, isDue) = state.withLock { state -> (Figures, Bool, Bool) in
            state.figures.programmed = count
            guard let lists = state.listsAt else { return (state.figures, false, false) }
            let isFirst = state.figures.firstServices == nil && count >= state.firstCount
            if isFirst { state.figures.firstServices = now - lists }
            let isDue = state.lastLine.map { now - $0 >= Self.pause } ?? true
            if isDue { state.lastLine = now }
            return (state.figures, isFirst, isDue)
        }
        if isFirst, let took = figures.firstServices {
            logger.info(
                "the first Services are programmed",
                metadata: ["services": "\(count)", "after": "\(took.inMilliseconds)"]
            )
        } else if isDue {
            logger.info(
                "programming Services",
                metadata: ["programmed": "\(count)", "of": "\(figures.services)"]
            )
        }
    }

    func finished(services: Int) {
        let now = clock.now
        let took = state.withLock { state -> Duration? in
            guard let lists = state.listsAt, state.figures.all == nil else { return nil }
            (state.figures.services, state.figures.programmed) = (services, services)
            state.figures.all = now - lists
            state.figures.firstServices = state.figures.firstServices ?? now - lists
            return now - lists
        }
        guard let took else { return }
        logger.info(
            "all Services are programmed",
            metadata: ["services": "\(services)", "after": "\(took.inMilliseconds)"]
        )
    }
}

extension Duration {
    /// The duration as text for the log, in milliseconds.
    fileprivate var inMilliseconds: String { "\(Int(self / .milliseconds(1))) ms" }
}
