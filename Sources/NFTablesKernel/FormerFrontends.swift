internal import NFTables
internal import NetworkTypes

/// The frontends that the kernel had before it was told of everything.
struct FormerFrontends {
    private(set) var all: Set<FrontendKey> = []
    private(set) var sticky: Set<FrontendKey> = []
    private(set) var localPolicy: Set<FrontendKey> = []

    mutating func add(_ contents: TableContents, _ family: IPFamily) {
        let keys = { (set: SetID) in
            (contents.elements[set] ?? [:]).keys.lazy.compactMap { key in
                var reader = ElementReader(key)
                return reader.frontendKey(family)
            }
        }
        all.formUnion(keys(.frontends))
        sticky.formUnion(keys(.sticky))
        localPolicy.formUnion(keys(.localPolicy))
    }
}
