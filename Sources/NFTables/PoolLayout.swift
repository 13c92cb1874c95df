package import ServicePlan

/// Which endpoint each slot of a pool holds.
///
/// A packet draws a slot at random. Up to 32 endpoints have a slot each. A larger pool has a power
/// of two of slots, at least 8 for each endpoint, shared out as evenly as can be, so that
/// endpoints come and go without another pool size, hence without another rule.
package struct PoolLayout: Sendable {
    /// The endpoints of the pool, in its order.
    private let members: [Endpoint]
    /// By slot: the index of its endpoint among the members.
    private let owners: [UInt16]

    package static let largestExactSize = 32
    /// Slot numbers are `size << 16 + index` in 32 bits.
    package static let largestSize = Pool.largestSize

    /// The slots of a pool without endpoints, and of one that no rule draws from: none.
    static let empty = PoolLayout([], previous: nil)

    package var size: UInt32 { UInt32(owners.count) }

    /// By slot.
    package var endpoints: [Endpoint] { owners.map { members[Int($0)] } }

    func endpoint(_ slot: Int) -> Endpoint { members[Int(owners[slot])] }

    /// The slots of a pool of this size begin here, so that pools of different sizes share a map.
    package static func firstSlot(_ size: UInt32) -> UInt32 { size << 16 }

    /// The size of a pool in slots.
    package static func size(for endpointCount: Int) -> Int {
        guard endpointCount > largestExactSize else { return endpointCount }
        var size = 512
        while size < 8 * endpointCount, size < largestSize { size *= 2 }
        return size
    }

    /// Lays out a pool, leaving in place whom the previous layout of the same size has placed.
    package init(_ pool: [Endpoint], previous: PoolLayout?) {
        let size = Self.size(for: pool.count)
        members = pool.count > size ? Array(pool.prefix(size)) : pool
        guard let previous, previous.owners.count == size, size > 0 else {
            // Round robin: share sizes differ by one at most.
            let count = members.count
            owners = (0..<size).map { UInt16(truncatingIfNeeded: $0 % count) }
            return
        }
        owners =
            previous.members == members
            ? previous.owners : Self.moved(members, previous.owners, previous.members)
    }

    /// A layout as it is in a kernel, which does not tell who is local.
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

    /// Hands the slots of those who went to those who have too few.
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
    /// The slots whose endpoints differ from another layout's of the same size, in order.
    func changedSlots(since old: PoolLayout) -> [Int] {
        let isSame = { (left: Endpoint, right: Endpoint) in
            left.address == right.address && left.port == right.port
        }
        // Mostly a member was replaced, and every slot belongs to the same index as before.
        if owners == old.owners, members.count == old.members.count {
            let changed = zip(members, old.members).map { !isSame($0, $1) }
            guard changed.contains(true) else { return [] }
            return owners.indices.filter { changed[Int(owners[$0])] }
        }
        return owners.indices.filter { !isSame(endpoint($0), old.endpoint($0)) }
    }
}

/// What two sorted lists have in common, and what only one of them has, by address and port.
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
