@testable import KubernetesClient
import TestSupport
import Testing

/// Notices of any kind at any time.
@Suite struct EventAggregatorHistoryTests {
    private struct Sent {
        var count = 0
        var lastWritten = 0.0
    }

    private func notice(_ random: inout Seeded) -> EventNotice {
        EventNotice(
            Bool.random(using: &random) ? .warning : .normal,
            reason: "Reason\(Int.random(in: 0..<3, using: &random))",
            action: "Program",
            regarding: ObjectReference(
                kind: "Service",
                namespace: "shop",
                name: "s\(Int.random(in: 0..<4, using: &random))"
            ),
            note: "\(random.next())"
        )
    }

    private func key(_ notice: EventNotice) -> String {
        "\(notice.severity) \(notice.reason) \(notice.regarding.name)"
    }

    private func key(_ object: EventObject) -> String {
        "\(object.type) \(object.reason) \(object.regarding.name)"
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func `every notice is counted in some event, and none is sent too often`(seed: UInt64) {
        var random = Seeded(seed)
        var events = EventAggregator(EventReporter(instance: "here"))
        var now = 1000.0
        /// The notices of the series that is under way, by what they have in common.
        var open: [String: Int] = [:]
        var sent: [String: Sent] = [:]
        var lost = 0
        func take(_ write: EventAggregator.Write) {
            let name = key(write.object)
            switch write {
            case .create(let object):
                #expect(object.series == nil)
                sent[name] = Sent(count: 1, lastWritten: now)
            case .update(let object):
                let count = object.series?.count ?? 0
                #expect(count >= 2 && count == open[name])
                let before = sent[name] ?? Sent()
                #expect(count > before.count, "nothing is told twice")
                // A series is told at its second notice, each half hour, and at its end.
                #expect(
                    count == 2 || now - before.lastWritten >= EventAggregator.refresh
                        || now - before.lastWritten >= EventAggregator.silenceThatEnds
                )
                sent[name] = Sent(count: count, lastWritten: now)
            }
        }
        for _ in 0..<600 {
            now += Double(Int.random(in: 0...90, using: &random))
            if Int.random(in: 0..<4, using: &random) == 0 { now += 400 }
            for write in events.tick(now: now) { take(write) }
            // A series that has been silent for long has ended, and all of it was told.
            let notice = notice(&random)
            let name = key(notice)
            let suppressed = events.suppressed
            let write = events.add(notice, now: now, time: now)
            if case .create = write {
                #expect(sent[name]?.count == open[name], "the last series was told whole")
                open[name] = 1
            } else if events.suppressed > suppressed {
                lost += 1
            } else {
                open[name, default: 0] += 1
            }
            if let write { take(write) }
        }
        now += EventAggregator.silenceThatEnds
        for write in events.tick(now: now) { take(write) }
        #expect(sent.mapValues(\.count) == open)
        #expect(events.suppressed == lost)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a bucket gives its burst, and then one for each interval`(seed: UInt64) {
        var random = Seeded(seed)
        let (burst, interval) = (5.0, 10.0)
        var bucket = TokenBucket(burst: burst, interval: interval, full: 0)
        var (now, taken) = (0.0, [Double]())
        for _ in 0..<300 {
            now += Double(Int.random(in: 0...6, using: &random))
            let mayTake = bucket.peek(now)
            if bucket.take(now) {
                #expect(mayTake)
                taken.append(now)
            } else {
                #expect(!mayTake && !bucket.isFull(now))
            }
        }
        for (index, start) in taken.enumerated() {
            for (count, end) in taken[index...].enumerated() {
                #expect(Double(count + 1) <= burst + (end - start) / interval + 1e-9)
            }
        }
        #expect(Double(taken.count) >= (now / interval).rounded(.down))
        #expect(bucket.isFull(now + burst * interval))
        // A clock that stands still, or goes back, gives nothing.
        var still = TokenBucket(burst: 1, interval: 10, full: 100)
        let answers = [still.take(100), still.take(100), still.take(50), still.take(110)]
        #expect(answers == [true, false, false, true])
    }
}

/// client-go's reflector: what an informer may ask for, whatever the server answers.
@Suite struct WatchPolicyHistoryTests {
    private func failure(_ random: inout Seeded) -> ClientError {
        let status = { (code: Int, message: String) in
            ClientError.status(
                request: "",
                ServerStatus(code: code, message: message, retryAfter: .zero)
            )
        }
        return switch Int.random(in: 0..<7, using: &random) {
        case 0: .transport(request: "", reason: "")
        case 1: .malformed(request: "", reason: "")
        case 2: status(410, "")
        case 3: status(504, "Too large resource version")
        case 4: status(500, "")
        case 5: status(429, "")
        default: status(403, "")
        }
    }

    @Test(arguments: 0..<40 as Range<UInt64>)
    func `a watch begins where the last list or event was, and pauses are bounded`(seed: UInt64) {
        var random = Seeded(seed)
        var policy = WatchPolicy()
        var version = 0
        /// Attempts without a pause since there was a list.
        var hurried = 0
        for _ in 0..<300 {
            switch policy.next {
            case .watch(let start): #expect(start == "\(version)" && policy.isWatching)
            case .streamingList(let oldest):
                #expect(oldest.isEmpty || oldest == "\(version)")
                #expect(!policy.isWatching)
            case .list(.notOlderThan(let oldest)): #expect(oldest == "\(version)")
            case .list: #expect(!policy.isWatching)
            }
            switch Int.random(in: 0..<4, using: &random) {
            case 0:
                if policy.isWatching {
                    let step = Int.random(in: 0...1, using: &random)
                    version += step
                    policy.onEvent(version: "\(version)")
                    // An event that is new shows that the watch is good.
                    if step > 0 { hurried = 0 }
                } else {
                    version += Int.random(in: 1...3, using: &random)
                    policy.onList(version: "\(version)")
                    hurried = 0
                }
            case 1 where policy.isWatching:
                let pause = policy.onEnd(after: .seconds(60), hadEvents: true, jitter: 0)
                #expect(pause == .zero)
            default:
                let jitter = Double(Int.random(in: 0...4, using: &random)) / 4
                let pause = policy.onFailure(failure(&random), jitter: jitter)
                #expect(pause == .zero || (.milliseconds(800) ... .seconds(60)).contains(pause))
                // Once for a version that has expired, and once for a server that cannot stream.
                if pause == .zero { hurried += 1 }
                #expect(hurried <= 2)
            }
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `failures that do not end are no flood of requests`(seed: UInt64) {
        var random = Seeded(seed)
        var policy = WatchPolicy()
        var waited = Duration.zero
        for _ in 0..<100 { waited += policy.onFailure(failure(&random), jitter: 0) }
        // The pauses grow up to half a minute.
        #expect(waited > .seconds(30 * 80))
        policy.onList(version: "1")
        #expect(policy.next == .watch(from: "1"))
    }
}
