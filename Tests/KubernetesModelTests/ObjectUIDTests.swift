import KubernetesModel
import Testing

@Suite struct ObjectUIDTests {
    @Test func `a UUID is kept, and told as it was`() {
        for text in [
            "8f14e45f-ceea-467f-a0e6-100000000001", "00000000-0000-0000-0000-000000000000",
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
        ] {
            #expect(ObjectUID(text)?.description == text)
        }
    }

    @Test func `what is no UUID as API servers write them is not kept`() {
        for text in [
            "", "web", "8f14e45f-ceea-467f-a0e6-10000000000",
            "8F14E45F-ceea-467f-a0e6-100000000001",
            "8f14e45fc-eea-467f-a0e6-100000000001", "8f14e45f-ceea-467f-a0e6-10000000000g",
            "+f14e45f-ceea-467f-a0e6-100000000001", "8f14e45f-ceea-467f-a0e6-1000000000011",
        ] {
            #expect(ObjectUID(text) == nil, "\(text)")
        }
    }
}
