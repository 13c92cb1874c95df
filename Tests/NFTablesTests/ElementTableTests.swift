import NFTables
import NetworkTypes
import TestSupport
import Testing

struct ElementTableTests {
    /// A few keys, so that most operations meet an element that is there.
    private func element(_ random: inout Seeded) -> Element {
        let family = Int.random(in: 0..<3, using: &random)
        var key = ElementBytes()
        for _ in 0...family { key.append(UInt32.random(in: 0..<12, using: &random)) }
        var data: ElementBytes?
        if Bool.random(using: &random) {
            var bytes = ElementBytes()
            bytes.append(UInt32.random(in: 0..<4, using: &random))
            data = bytes
        }
        let comment = Int.random(in: 0..<3, using: &random)
        return Element(
            key: key,
            keyEnd: family == 0 ? key : nil,
            data: data,
            comment: comment == 0 ? nil : "default/web-\(comment)"
        )
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a table holds what a dictionary holds`(seed: UInt64) {
        var random = Seeded(seed)
        var table = ElementTable()
        var dictionary: [ElementBytes: Element] = [:]
        for _ in 0..<3000 {
            let element = element(&random)
            switch Int.random(in: 0..<6, using: &random) {
            case 0:
                #expect(table.remove(element.key) == (dictionary[element.key] != nil))
                dictionary[element.key] = nil
            case 1:
                #expect(table.take(element) == (dictionary[element.key] == element))
                if dictionary[element.key] == element { dictionary[element.key] = nil }
            case 2: #expect(table[element.key] == dictionary[element.key])
            default:
                let wasThere = dictionary.updateValue(element, forKey: element.key) != nil
                #expect(table.insert(element) == wasThere)
            }
            #expect(table.count == dictionary.count)
        }
        #expect(Set(table.all) == Set(dictionary.values))
        #expect(table == ElementTable(dictionary.values))
    }

    @Test func `tables with one different element are different`() {
        var random = Seeded(1)
        let table = ElementTable((0..<200).map { _ in element(&random) })
        var other = table
        #expect(other == table)
        other.remove(table.all[0].key)
        #expect(other != table)
    }
}
