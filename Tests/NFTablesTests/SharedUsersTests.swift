import NetworkTypes
import TestSupport
import Testing

@testable import NFTables

struct SharedUsersTests {
    private func element(_ random: inout Seeded) -> SharedElement {
        let number = UInt32.random(in: 0..<200, using: &random)
        let address =
            Bool.random(using: &random)
            ? IPAddress(ipv4: number) : IPAddress(ipv6High: 1, low: UInt64(number))
        return switch Int.random(in: 0..<4, using: &random) {
        case 0: .clusterIP(address)
        case 1: .hairpin(address)
        default:
            .serviceEndpoint(
                address,
                UInt16.random(in: 0..<4, using: &random),
                Bool.random(using: &random) ? .tcp : .udp
            )
        }
    }

    @Test(arguments: 0..<10 as Range<UInt64>)
    func `uses are counted as in a dictionary`(seed: UInt64) {
        var random = Seeded(seed)
        var users = SharedUsers()
        var dictionary: [SharedElement: Int32] = [:]
        for _ in 0..<6000 {
            let element = element(&random)
            let difference: Int32 =
                dictionary[element] == nil || Int.random(in: 0..<5, using: &random) < 2 ? 1 : -1
            users[element] += difference
            let count = (dictionary[element] ?? 0) + difference
            dictionary[element] = count == 0 ? nil : count
            #expect(users[element] == count)
        }
        for (element, count) in dictionary { #expect(users[element] == count) }
    }
}
