internal import Containers
internal import NetworkTypes

/// How many Services use each element that several may share.
///
/// There is one for each endpoint of the cluster, so those of IPv4 are packed into one number each.
struct SharedUsers: Sendable {
    /// The elements of IPv4, in an open-addressed table; 0 is vacant.
    private var keys: [UInt64] = []
    private var counts: [Int32] = []
    /// The places that are taken, including those of elements that nobody uses any more.
    private var taken = 0
    private var others = DenseMap<SharedElement, Int32>()
    /// Keeps authors of Services from choosing addresses that all fall on the same place.
    private let seed = UInt64.random(in: .min ... .max) | 1

    init() {}

    subscript(element: SharedElement) -> Int32 {
        get {
            guard let key = element.number else { return others[element] ?? 0 }
            return place(of: key).map { counts[$0] } ?? 0
        }
        set {
            guard let key = element.number else {
                others[element] = newValue == 0 ? nil : newValue
                return
            }
            if let place = place(of: key) {
                counts[place] = newValue
            } else if newValue != 0 {
                enter(key, newValue)
            }
        }
    }

    private func firstPlace(_ key: UInt64) -> Int {
        let product = (key ^ seed).multipliedFullWidth(by: seed)
        return Int(truncatingIfNeeded: product.high ^ product.low) & (keys.count - 1)
    }

    private func place(of key: UInt64) -> Int? {
        guard !keys.isEmpty else { return nil }
        var place = firstPlace(key)
        while keys[place] != 0 {
            if keys[place] == key { return place }
            place = (place + 1) & (keys.count - 1)
        }
        return nil
    }

    private mutating func enter(_ key: UInt64, _ count: Int32) {
        if (taken + 1) * 4 > keys.count * 3 { rehash() }
        var place = firstPlace(key)
        while keys[place] != 0 { place = (place + 1) & (keys.count - 1) }
        (keys[place], counts[place]) = (key, count)
        taken += 1
    }

    /// Forgets what nobody uses, and makes places for half as many again.
    private mutating func rehash() {
        let used = zip(keys, counts).filter { $0.1 != 0 }
        var size = 8
        while size * 3 < (used.count + 1) * 5 { size *= 2 }
        keys = Array(repeating: 0, count: size)
        counts = Array(repeating: 0, count: size)
        taken = 0
        for (key, count) in used { enter(key, count) }
    }
}

extension SharedElement {
    /// A number other than 0 that only this element has; nil for elements of IPv6.
    fileprivate var number: UInt64? {
        switch self {
        case .clusterIP(let address):
            address.family == .ipv4 ? 1 << 56 | address.low : nil
        case .hairpin(let address):
            address.family == .ipv4 ? 2 << 56 | address.low : nil
        case .serviceEndpoint(let address, let port, let transport):
            address.family == .ipv4
                ? 3 << 56 | UInt64(transport.rawValue) << 48 | UInt64(port) << 32 | address.low
                : nil
        }
    }
}

/// Changes in the use of elements that several Services share.
struct SharedChanges {
    private var usersBefore: [SharedElement: Int32] = [:]

    mutating func count(
        _ element: SharedElement,
        _ difference: Int32,
        _ users: inout SharedUsers
    ) {
        let now = users[element]
        if usersBefore[element] == nil { usersBefore[element] = now }
        users[element] = now + difference
    }

    /// Adds the elements that are now used to the changes, and removes those that are no longer
    /// used.
    func finish(_ users: SharedUsers, _ changes: inout Changeset) {
        for (shared, before) in usersBefore {
            let isUsed = users[shared] != 0
            if isUsed, before == 0 { changes.add(shared.set, shared.element) }
            if !isUsed, before > 0 { changes.remove(shared.set, shared.element) }
        }
    }
}
