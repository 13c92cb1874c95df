@testable import IPVS
import NFTables
import NetworkTypes
import ServicePlan
import TestSupport
import Testing

@Suite struct ConnectionListTests {
    @Test func `as the kernel writes it`() {
        let text = """
            Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData
            TCP C0000209 4E20 0A60000A 0050 0AF40102 1F90 TIME_WAIT        97
            UDP C0000209 4E20 0A60000A 0035 0AF40102 14E9 UDP             299
            TCP C0000209 0000 0A60000A 0050 0AF40102 1F90 NONE             60
            SCTP fd00:0192:0000:0000:0000:0000:0000:0009 FFFF fd96:0000:0000:0000:0000:0000:0000:0010 0009 fd00:0001:0000:0000:0000:0000:0000:0002 0009 ESTABLISHED     900
            TCP C0000209 4E21 0A60000A 0050 0AF40102 1F90 ESTABLISHED     899 sip Call-ID
            TCP C0000209 4E
            """
        #expect(
            ConnectionList.connections(in: Array(text.utf8)) == [
                InheritedConnection(
                    AddressAndPort(ip("192.0.2.9"), 20_000),
                    FrontendKey(ip("10.96.0.10"), .tcp, 80)
                ),
                InheritedConnection(
                    AddressAndPort(ip("192.0.2.9"), 20_001),
                    FrontendKey(ip("10.96.0.10"), .tcp, 80)
                ),
                InheritedConnection(
                    AddressAndPort(ip("fd00:192::9"), 65_535),
                    FrontendKey(ip("fd96::10"), .sctp, 9)
                ),
            ]
        )
    }
}

@Suite struct IPVSTextTests {
    @Test func `as ipvsadm writes it`() {
        var maglev = VirtualServer(
            key: FrontendKey(ip("fd96::1"), .udp, 53),
            scheduler: "mh",
            flags: [.ours, .usesPort],
            persistence: 60,
            destinations: [Destination(ip("fd44::1"), 5353, weight: 7)]
        )
        #expect(
            IPVSText.lines([maglev]) == [
                "-A -u [fd96::1]:53 -s mh -p 60 -b mh-port,flag-3",
                "-a -u [fd96::1]:53 -r [fd44::1]:5353 -m -w 7",
            ]
        )
        maglev.key = FrontendKey(ip("10.96.0.1"), .sctp, 9)
        maglev.scheduler = "rr"
        #expect(
            IPVSText.line(maglev) == "-A --sctp-service 10.96.0.1:9 -s rr -p 60 -b flag-2,flag-3"
        )
    }

    // The lines that `ipvsadm -R` reads must be ours, whatever names a tenant chooses.
    @Test func `names are no part of it`() {
        var web = plan([1], service: "shop/a\n-C\r\n-D -t 10.96.0.1:443")
        web.frontends[0].portName = "\u{1B}]0;x\u{7}\"; -C #\n-C"
        #expect(
            IPVSText.lines(web.virtualServers(BalancingDefaults())) == [
                "-A -t 10.96.0.1:80 -s rr -b flag-3",
                "-a -t 10.96.0.1:80 -r 10.244.1.1:8080 -m -w 1",
            ]
        )
    }
}
