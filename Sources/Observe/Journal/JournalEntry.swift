package import Backend
internal import KubernetesModel
package import Reconciler
internal import ServicePlan

/// Something that happened on this node.
package struct JournalEntry: Sendable {
    /// An object because of which a plan changed.
    package struct Cause: Sendable, Hashable {
        package let kind: ChangeCause.Kind
        /// The name, in the namespace of the Service.
        package let name: String
        /// The resource version of the object, or of the list that it came with; may be empty.
        package let version: String
        package let isList: Bool
        package let isRemoval: Bool

        package init(
            _ kind: ChangeCause.Kind,
            _ name: String,
            version: String,
            isList: Bool = false,
            isRemoval: Bool = false
        ) {
            (self.kind, self.name, self.version) = (kind, name, version)
            (self.isList, self.isRemoval) = (isList, isRemoval)
        }
    }

    /// The kernel has taken another plan of a Service.
    package struct Change: Sendable, Hashable {
        package let service: String
        package let causes: [Cause]
        /// How long before the commit the oldest event arrived; nil if no event is known.
        package let arrivedBefore: Duration?
        /// How long before the commit the plan was compiled.
        package let compiledBefore: Duration
        /// The difference; nil if it is too large to be kept.
        package let delta: PlanDelta?
    }

    /// What a sync did to the kernel.
    package struct Work: Sendable, Hashable {
        package let added: Int
        package let removed: Int
        /// Tables, chains, sets and rules.
        package let objects: Int
        package let servers: Int

        package var isEmpty: Bool { added + removed + objects + servers == 0 }
    }

    package enum Content: Sendable, Hashable {
        /// Everything was programmed for the first time.
        case began(services: Int, Work)
        case change(Change)
        /// The kernel refused changes; the numbers and some of the Services that waited.
        ///
        /// Nil instead of a pause: everything was read again at once.
        case refused(String, waiting: [String], count: Int, pause: Duration?)
        /// Another program changed what is needletail's.
        case foreignChange(ForeignObject, pause: Duration)
        case repaired(Work)
        /// Everything was compared with the kernel, which held something else.
        case corrected(Work)
        case node([String])
    }

    package let number: UInt64
    package let time: ContinuousClock.Instant
    package let content: Content
}

// MARK: Bytes

/// The byte that tells the kinds of entries.
enum EntryTag: UInt8 {
    case began, change, refused, foreignChange, repaired, corrected, node
}

extension Duration {
    /// Whole nanoseconds; zero for a negative duration.
    var nanoseconds: UInt64 {
        let (seconds, attoseconds) = components
        guard seconds >= 0, attoseconds >= 0 else { return 0 }
        return UInt64(seconds) &* 1_000_000_000 &+ UInt64(attoseconds / 1_000_000_000)
    }
}

extension JournalWriter {
    mutating func write(_ duration: Duration) { write(duration.nanoseconds) }

    mutating func write(_ work: JournalEntry.Work) {
        for number in [work.added, work.removed, work.objects, work.servers] { write(number) }
    }

    mutating func write(_ texts: [String]) {
        write(texts.count)
        for text in texts { write(text) }
    }

    /// Writes a change without its difference.
    mutating func write(_ change: CommittedChange, at ended: ContinuousClock.Instant) {
        write(change.change.service)
        write(ended - change.compiled)
        write(change.causes.count)
        var oldest: ContinuousClock.Instant?
        for cause in change.causes {
            let origin = cause.origin
            oldest = oldest.map { min($0, origin.arrived) } ?? origin.arrived
            write(
                byte: cause.kind.rawValue | (cause.isRemoval ? 0x10 : 0)
                    | (origin.isList ? 0x20 : 0)
            )
            write(cause.object.name)
            write(origin.version)
        }
        if let oldest { write(ended - oldest) }
    }
}

extension JournalReader {
    mutating func duration() -> Duration { .nanoseconds(Int64(truncatingIfNeeded: number())) }

    mutating func work() -> JournalEntry.Work {
        JournalEntry.Work(added: int(), removed: int(), objects: int(), servers: int())
    }

    mutating func texts() -> [String] { (0..<int()).map { _ in text() } }

    /// Reads a change after the name of its Service.
    mutating func change(of service: String) -> JournalEntry.Change {
        let compiledBefore = duration()
        let causes = (0..<int()).map { _ in cause() }
        let arrivedBefore = causes.isEmpty ? nil : duration()
        return JournalEntry.Change(
            service: service,
            causes: causes,
            arrivedBefore: arrivedBefore,
            compiledBefore: compiledBefore,
            delta: bool() ? PlanDelta(&self) : nil
        )
    }

    private mutating func cause() -> JournalEntry.Cause {
        let flags = byte()
        return JournalEntry.Cause(
            ChangeCause.Kind(rawValue: flags & 0x0F) ?? .service,
            text(),
            version: text(),
            isList: flags & 0x20 != 0,
            isRemoval: flags & 0x10 != 0
        )
    }

    /// Reads the content of an entry; nil if it is a change of another Service than the wanted one.
    mutating func content(of service: [UInt8]?) -> JournalEntry.Content? {
        switch EntryTag(rawValue: byte()) {
        case .began: return .began(services: int(), work())
        case .change:
            let name = utf8()
            guard service == nil || service.map({ name.elementsEqual($0) }) == true else {
                return nil
            }
            return .change(change(of: String(decoding: name, as: UTF8.self)))
        case .refused:
            return .refused(
                text(),
                waiting: texts(),
                count: int(),
                pause: bool() ? duration() : nil
            )
        case .foreignChange:
            let object = ForeignObject(rawValue: text()) ?? .table
            return .foreignChange(object, pause: duration())
        case .repaired: return .repaired(work())
        case .corrected: return .corrected(work())
        case .node: return .node(texts())
        case nil: return nil
        }
    }
}
