import Containers
import TestSupport
import Testing

struct DenseMapTests {
    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a map holds what a dictionary holds`(seed: UInt64) {
        var random = Seeded(seed)
        var map = DenseMap<Int, [Int]>()
        var dictionary: [Int: [Int]] = [:]
        // Grows to several chunks and shrinks again.
        for step in 0..<6000 {
            let key = Int.random(in: 0..<1500, using: &random)
            let value = [Int.random(in: 0..<4, using: &random)]
            let removals = step < 3000 ? 2 : 6
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<removals:
                #expect(map.removeValue(forKey: key) == dictionary.removeValue(forKey: key))
            case 6:
                map[key, default: [7]] += value
                dictionary[key, default: [7]] += value
            case 7:
                #expect((map.update(key) { $0 += value } == nil) == (dictionary[key] == nil))
                dictionary[key]? += value
            case 8: #expect(map[key] == dictionary[key])
            default: (map[key], dictionary[key]) = (value, value)
            }
            #expect(map.count == dictionary.count)
        }
        #expect(Set(map.keys) == Set(dictionary.keys))
        #expect(Array(map.keys).count == dictionary.count)
        for (key, value) in dictionary { #expect(map[key] == value) }
        for key in dictionary.keys { map[key] = nil }
        #expect(map.isEmpty && Array(map.values).isEmpty)
    }

    @Test func `a copy keeps what it has`() {
        var map = DenseMap<Int, Int>()
        for key in 0..<1000 { map[key] = key }
        let copy = map
        for key in 0..<1000 where key % 3 == 0 { map[key] = nil }
        for key in 0..<1000 where key % 3 == 1 { map[key, default: 0] += 1 }
        #expect(copy.count == 1000 && copy.keys.allSatisfy { copy[$0] == $0 })
        #expect(map != copy && map.count == 666 && map[4] == 5)
        #expect(copy.key(5) == 5 && copy.key(1000) == nil)
    }
}
