import BinarySupport
import NetworkNamespaces
import TestSupport
import Testing

/// The annotations about sources in mode ipvs.
@Suite(.timeLimit(.minutes(30))) struct SourceRangeModeTests {
    @Test func `who is refused loses his connections, and others keep theirs`() throws {
        let node = try Node()
        func program() throws { #expect(try node.once("ipvs").status == 0) }
        let scene = try RefusedClient(node, program: program)
        #expect(try scene.tracked(Node.clientAddress).count == 3)
        try RefusedClient.write(
            node,
            annotations: "needletail.io/deny-source-ranges: \"\(Node.clientAddress)\""
        )
        try program()
        #expect(try scene.tracked(Node.clientAddress) == [])
        #expect(try scene.sendsInVain())
        #expect(!scene.hasReceived)
        #expect(scene.otherGoesOn)
        #expect(try scene.connects(node.client) == [false, false, false])
        #expect(try scene.connects(node.pod(1)) == [true, true, true])
        try RefusedClient.write(node, annotations: "")
        try program()
        #expect(try scene.connects(node.client) == [true, true, true])
    }
}
