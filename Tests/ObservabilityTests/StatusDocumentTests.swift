import Backend
import Foundation
import Logging
import NetworkTypes
import Observability
@testable import Reconciler
import TestSupport
import Testing

/// `/status` and `needletail status`, which may be of different versions.
@Suite struct StatusDocumentTests {
    private let monitor = ProxyMonitor(
        ProxyMetrics(version: "1", mode: "ipvs"),
        families: [.ipv4],
        patience: 60,
        logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
        announce: { _, _, _ in },
        onSynced: { _ in }
    )

    private func document(_ summary: ClusterSummary = ClusterSummary(missing: []))
        -> StatusDocument
    {
        monitor.status(
            version: "1.2",
            mode: "ipvs",
            node: "node-a",
            summary,
            viewAge: ["services": 1.5]
        )
    }

    private func read(_ json: String) throws -> StatusDocument {
        try JSONDecoder().decode(StatusDocument.self, from: Data(json.utf8))
    }

    @Test func `before the first sync nothing is ready, and that is said`() throws {
        var summary = ClusterSummary(missing: [.services, .endpoints])
        (summary.services, summary.endpoints) = (3, 7)
        (summary.pendingServices, summary.pendingEndpoints) = (1, 2)
        let found = try read(document(summary).json)
        #expect(!found.ready && found.reason == "the first sync is not done")
        #expect(found.missingLists == ["endpoints", "services"])
        #expect(found.services == 3 && found.endpoints == 7 && found.pendingChanges == 3)
        #expect(found.lastSync == nil && found.drift.detected == 0 && found.drift.last == nil)
        #expect(found.families == ["IPv4": true] && found.apiViewAgeSeconds == ["services": 1.5])
        #expect(found.version == "1.2" && found.mode == "ipvs" && found.node == "node-a")
    }

    @Test func `the last sync and drift are as they were counted`() throws {
        var record = SyncRecord()
        record.isFull = true
        (record.compiling, record.committing) = (.milliseconds(2), .microseconds(500))
        (record.report.elementsAdded, record.report.serversChanged) = (4, 5)
        (record.report.elementsRemoved, record.report.bytes) = (6, 7)
        monitor.synced(record)
        monitor.foreignChange(.servers, repairAfter: .zero)
        monitor.foreignChange(.table, repairAfter: .zero)
        record.isRepair = true
        monitor.synced(record)
        let found = try read(document().json)
        let sync = try #require(found.lastSync)
        #expect(sync.scope == "everything" && sync.milliseconds == 2.5)
        #expect(sync.elementsAdded == 4 && sync.elementsRemoved == 6)
        #expect(sync.serversChanged == 5 && sync.bytes == 7)
        #expect(found.drift.detected == 2 && found.drift.repaired == 1)
        #expect(found.drift.last != nil && found.ready)
        record.isFull = false
        monitor.synced(record)
        #expect(document().lastSync?.scope == "changes")
    }

    @Test func `a node that goes says why`() throws {
        monitor.setEligibility("its Node is being deleted")
        let found = try read(document().json)
        #expect(!found.nodeEligible && found.notEligibleReason == "its Node is being deleted")
        monitor.setEligibility(nil)
        #expect(document().nodeEligible && document().notEligibleReason == nil)
    }

    @Test func `a daemon that does not look for obstacles can be asked`() throws {
        monitor.setForwarding(
            [ForwardingObstacle(sysctl: "net/ipv4/ip_forward", of: .ipv4)],
            unread: []
        )
        let json = document().json
        #expect(try read(json).forwarding?.count == 1)
        let object = try JSONSerialization.jsonObject(with: Data(json.utf8))
        var fields = try #require(object as? [String: Any])
        fields["forwarding"] = nil
        let without = try JSONSerialization.data(withJSONObject: fields)
        #expect(try read(String(decoding: without, as: UTF8.self)).forwarding == nil)
    }

    // k8s.io/apimachinery/pkg/apis/meta/v1: MicroTime has six digits of a second.
    @Test func `a moment is the wall clock's now, less the age`() {
        let now = ContinuousClock.now
        let moment = Moment(instant: now, time: 1_795_247_458.25)
        #expect(moment.time(of: now) == 1_795_247_458.25)
        #expect(moment.time(of: now - .milliseconds(250)) == 1_795_247_458)
        #expect(moment.time(of: now - .seconds(3600)) == 1_795_243_858.25)
        #expect(moment.time(of: now + .seconds(1)) == 1_795_247_459.25)
    }
}
