import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct PoolLayoutTests {
    private func endpoints(_ numbers: some Sequence<Int>) -> [Endpoint] {
        numbers.map {
            Endpoint(IPAddress(ipv4: 0x0A00_0000 + UInt32($0)), 80, isLocal: $0 % 2 == 0)
        }.sorted()
    }

    @Test func `up to 32 endpoints have a slot each, more have at least eight`() {
        #expect([1, 2, 31, 32].map(PoolLayout.size) == [1, 2, 31, 32])
        #expect(
            [33, 64, 65, 128, 129, 1000].map(PoolLayout.size) == [512, 512, 1024, 1024, 2048, 8192]
        )
        #expect(PoolLayout.size(for: 100_000) == 32768)
    }

    @Test(arguments: 0..<30 as Range<UInt64>)
    func `shares stay even and only slots of the changed endpoints move`(seed: UInt64) {
        var random = Seeded(seed)
        var members = Set(0..<Int.random(in: 30...60, using: &random))
        var layout = PoolLayout(endpoints(members), previous: nil)
        for _ in 0..<30 {
            let number = Int.random(in: 0..<90, using: &random)
            if members.remove(number) == nil { members.insert(number) }
            let next = PoolLayout(endpoints(members), previous: layout)
            let shares = Dictionary(grouping: next.endpoints, by: \.self).mapValues(\.count)
            #expect(Set(shares.keys) == Set(endpoints(members)))
            #expect((shares.values.max() ?? 0) - (shares.values.min() ?? 0) <= 1)
            if next.size == layout.size, next.size > 32 {
                let moved = zip(layout.endpoints, next.endpoints).count { $0 != $1 }
                // The limit is the share of one endpoint, and one slot of each other endpoint for
                // the remainder.
                #expect(moved <= next.endpoints.count / members.count + 1 + members.count)
            }
            layout = next
        }
    }

    @Test
    func `a pool that is read back from a kernel stays, though that does not tell who is local`()
        throws
    {
        let pool = endpoints(0..<40)
        let layout = PoolLayout(pool, previous: nil)
        let read = PoolLayout(
            placed: layout.endpoints.map { Endpoint($0.address, $0.port, isLocal: false) }
        )
        #expect(PoolLayout(pool, previous: read).endpoints == layout.endpoints)
    }

    @Test func `slots of different sizes never overlap`() {
        var sizes = Set((1...100).map { PoolLayout.size(for: $0) })
        sizes.insert(PoolLayout.largestSize)
        let ranges = sizes.sorted().map {
            UInt64(
                PoolLayout.firstSlot(UInt32($0))
            )..<(UInt64(PoolLayout.firstSlot(UInt32($0))) + UInt64($0))
        }
        for (left, right) in zip(ranges, ranges.dropFirst()) {
            #expect(left.upperBound <= right.lowerBound)
        }
        #expect((ranges.last?.upperBound ?? 0) <= UInt64(UInt32.max))
    }
}

@Suite struct NumberUsageTests {
    @Test func `numbers are appended, and reordered only when clearly misplaced`() {
        var usage = NumberUsage()
        usage.add(1, 10)
        #expect(usage.settle() == .append([1]))
        usage.add(3, 12)
        #expect(usage.settle() == .append([3]))
        #expect(usage.settle() == .none)
        usage.add(3, 100)
        #expect(usage.settle() == .replace([3, 1]))
    }

    @Test func `a few unused numbers stay, many go`() {
        var usage = NumberUsage()
        for number in 1...6 as ClosedRange<UInt32> { usage.add(number) }
        #expect(usage.settle() == .append([1, 2, 3, 4, 5, 6]))
        for number in 1...4 as ClosedRange<UInt32> { usage.add(number, -1) }
        #expect(usage.settle() == .none)
        usage.add(5, -1)
        #expect(usage.settle() == .replace([6]))
    }

    @Test func `the number of pick rules is bounded`() {
        var usage = NumberUsage()
        for count in 1...20_000 { usage.add(UInt32(PoolLayout.size(for: count))) }
        _ = usage.settle()
        #expect(usage.listed.count <= 40)
    }
}
