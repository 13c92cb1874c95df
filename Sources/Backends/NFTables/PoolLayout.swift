package import ServicePlan

/// The assignment of a pool's slots to its endpoints.
///
/// A new connection picks a slot at random. A pool of up to 32 endpoints has one slot for each. A
/// larger pool has a power of two of slots, in general at least 8 for each endpoint, distributed as
/// evenly as possible. So endpoints can come and go while the pool keeps its size, and with it its
/// rule.
package struct PoolLayout: Sendable, Equatable {
    /// The endpoints of the pool, in the pool's order.
    private let members: [Endpoint]
    /// For each slot, the index of its endpoint in `members`.
    private let owners: [UInt16]

    package static let largestExactSize = 32
    /// The largest number of slots: slot numbers are `(size << 16) + index` in 32 bits.
    package static let largestSize = Pool.largestSize

    /// The layout without slots, for a pool without endpoints and for one that no rule uses.
    static let empty = PoolLayout([], previous: nil)

    package var size: UInt32 { UInt32(owners.count) }

    /// The endpoint of each slot.
    package var endpoints: [Endpoint] { owners.map { members[Int($0)] } }

    func endpoint(_ slot: Int) -> Endpoint { members[Int(owners[slot])] }

    /// Returns the number of the first slot of a pool with this size.
    ///
    /// It depends on the size, so that pools of different sizes can share a map: a rule for another
    /// size finds no slot.
    package static func firstSlot(_ size: UInt32) -> UInt32 { size << 16 }

    /// Returns the number of slots for a number of endpoints.
    package static func size(for endpointCount: Int) -> Int {
        guard endpointCount > largestExactSize else { return endpointCount }
        var size = 512
        while size < 8 * endpointCount, size < largestSize { size *= 2 }
        return size
    }

    /// Lays out a pool; endpoints keep their slots in a previous layout of the same size.
    package init(_ pool: [Endpoint], previous: PoolLayout?) {
        let size = Self.size(for: pool.count)
        members = pool.count > size ? Array(pool.prefix(size)) : pool
        guard let previous, previous.owners.count == size, size > 0 else {
            // Slots are dealt in turn, so the numbers of slots per endpoint differ by one at most.
            let count = members.count
            owners = (0..<size).map { UInt16(truncatingIfNeeded: $0 % count) }
            return
        }
        owners =
            previous.members == members
            ? previous.owners : Self.moved(members, previous.owners, previous.members)
    }

    /// Makes the layout that a kernel holds, which does not know which endpoints are local.
    package init(placed endpoints: [Endpoint]) {
        let sorted = endpoints.sorted()
        members = sorted.indices.filter { $0 == 0 || sorted[$0 - 1] < sorted[$0] }.map {
            sorted[$0]
        }
        let indexes = Dictionary(
            members.enumerated().map { ($1, UInt16(truncatingIfNeeded: $0)) },
            uniquingKeysWith: { first, _ in first }
        )
        owners = endpoints.map { indexes[$0] ?? 0 }
    }

    /// Gives the slots of removed endpoints to endpoints that have too few.
    private static func moved(
        _ members: [Endpoint],
        _ previous: [UInt16],
        _ previousMembers: [Endpoint]
    ) -> [UInt16] {
        let vacant = UInt16.max
        var index = Array(repeating: vacant, count: previousMembers.count)
        for (old, new) in SortedDifference(previousMembers, members).common {
            index[old] = UInt16(truncatingIfNeeded: new)
        }
        let share = previous.count / members.count
        var remainder = previous.count % members.count
        var held = Array(repeating: 0, count: members.count)
        var owners = previous
        for slot in owners.indices {
            let member = index[Int(owners[slot])]
            owners[slot] = vacant
            guard member != vacant else { continue }
            let count = held[Int(member)]
            guard count < share || (count == share && remainder > 0) else { continue }
            if count == share { remainder -= 1 }
            held[Int(member)] = count + 1
            owners[slot] = member
        }
        var needy = members.indices.flatMap {
            repeatElement(UInt16(truncatingIfNeeded: $0), count: max(0, share - held[$0]))
        }
        needy += members.indices.lazy.filter { held[$0] <= share }.prefix(remainder).map {
            UInt16(truncatingIfNeeded: $0)
        }
        var next = needy.makeIterator()
        for slot in owners.indices where owners[slot] == vacant {
            owners[slot] = next.next() ?? 0
        }
        return owners
    }
}

extension PoolLayout {
    /// Returns the slots whose endpoints differ from those of another layout of the same size, in
    /// order.
    func changedSlots(since old: PoolLayout) -> [Int] {
        let isSame = { (left: Endpoint, right: Endpoint) in
            left.address == right.address && left.port == right.port
        }
        // In the most frequent case a member was replaced, and each slot has the same index as
        // before.
        if owners == old.owners, members.count == old.members.count {
            let changed = zip(members, old.members).map { !isSame($0, $1) }
            guard changed.contains(true) else { return [] }
            return owners.indices.filter { changed[Int(owners[$0])] }
        }
        return owners.indices.filter { !isSame(endpoint($0), old.endpoint($0)) }
    }
}

/// The indexes of endpoints that two sorted lists have in common, and of those that only one has,
/// compared by address and port.
struct SortedDifference {
    private(set) var common: [(old: Int, new: Int)] = []
    private(set) var removed: [Int] = []
    private(set) var added: [Int] = []

    init(_ old: [Endpoint], _ new: [Endpoint]) {
        common.reserveCapacity(min(old.count, new.count))
        var (left, right) = (0, 0)
        while left < old.count, right < new.count {
            if old[left] < new[right] {
                removed.append(left)
                left += 1
            } else if new[right] < old[left] {
                added.append(right)
                right += 1
            } else {
                common.append((left, right))
                (left, right) = (left + 1, right + 1)
            }
        }
        removed += left..<old.count
        added += right..<new.count
    }
}
