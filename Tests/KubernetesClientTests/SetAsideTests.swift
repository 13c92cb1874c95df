@testable import KubernetesClient
import KubernetesModel
import TestSupport
import Testing

@Suite struct SetAsideTests {
    private func object(_ name: String?, _ namespace: String? = "n", _ reason: String = "bad")
        -> UnreadableObject
    {
        UnreadableObject(namespace: namespace, name: name, reason: reason)
    }

    @Test func `an object is told once for each reason, until it is read again`() {
        var aside = SetAside()
        let answers = [
            aside.insert(object("a")), aside.insert(object("a")),
            aside.insert(object("a", "n", "worse")), aside.insert(object("b")),
        ]
        #expect(answers == [true, false, true, true] && aside.count == 2)
        let removed = [
            aside.remove(ObjectName(namespace: "n", name: "a")),
            aside.remove(ObjectName(namespace: "n", name: "a")),
        ]
        #expect(removed == [true, false])
        let again = aside.insert(object("a"))
        #expect(again)
    }

    @Test func `a new list forgets what it does not contain`() {
        var aside = SetAside()
        for name in ["a", "b", "c"] { _ = aside.insert(object(name)) }
        aside.keep(only: [object("b"), object("x")])
        let answers = [aside.insert(object("b")), aside.insert(object("a"))]
        #expect(answers == [false, true] && aside.count == 2)
    }

    @Test func `a hundred objects are told, and the others counted`() {
        var aside = SetAside()
        let told = (0..<150).count { aside.insert(object("s\($0)")) }
        #expect(told == 100 && aside.count == 150)
    }

    @Test func `an object is named as precisely as it can be`() {
        #expect(object("a").place == "n/a" && object("a", "").place == "a")
        #expect(object(nil).place == "an object of namespace n whose name cannot be read")
        #expect(object(nil, nil).place == "an object whose name cannot be read")
        #expect(object("a", nil).place == "a, of a namespace that cannot be read")
        #expect(object("a").objectName == ObjectName(namespace: "n", name: "a"))
        #expect(object(nil).objectName == nil && object("a", nil).objectName == nil)
    }
}

@Suite struct ListProgressTests {
    private func services(_ numbers: Range<Int>) -> [Service] {
        numbers.map { Service(name: ObjectName(namespace: "n", name: "s\($0)")) }
    }

    @Test func `pages that bring something may be as many as they like`() throws {
        var (progress, page) = (ListProgress(), ListPage<Service>())
        for number in 0..<200 {
            page.objects = services(number..<(number + 1))
            try progress.check(page)
        }
    }

    @Test func `pages without end that bring nothing new are given up`() throws {
        var (progress, page) = (ListProgress(), ListPage<Service>())
        page.objects = services(0..<5)
        try progress.check(page)
        for _ in 1..<ListProgress.idleLimit {
            page.objects = services(0..<5)
            try progress.check(page)
        }
        let error = #expect(throws: ClientError.self) { try progress.check(page) }
        #expect(error.map { "\($0)" }?.contains("it does not end") == true)
    }

    @Test func `one new object begins the count again`() throws {
        var (progress, page) = (ListProgress(), ListPage<Service>())
        for round in 0..<5 {
            page.objects = services(round..<(round + 1))
            for _ in 0..<ListProgress.idleLimit { try progress.check(page) }
        }
    }
}

/// cmd/kube-proxy/app/server.go: what kube-proxy lists, and with which selectors.
@Suite struct ResourceTests {
    @Test func `only what this node needs is asked for`() {
        #expect(Service.path == "/api/v1/services")
        #expect(Service.labelSelector == "!service.kubernetes.io/service-proxy-name")
        #expect(EndpointSlice.path == "/apis/discovery.k8s.io/v1/endpointslices")
        #expect(EndpointSlice.labelSelector == "!service.kubernetes.io/headless")
        #expect(Endpoints.labelSelector == "!service.kubernetes.io/headless")
        #expect(Node.fieldSelector(nodeName: "node-a") == "metadata.name=node-a")
        #expect(Node.labelSelector.isEmpty && !Node.isNamespaced && !ServiceCIDR.isNamespaced)
        #expect(ServiceCIDR.path == "/apis/networking.k8s.io/v1/servicecidrs")
        // A Node that is not selected would be all Nodes of the cluster.
        #expect(Service.hasOptionalFieldSelector && !Node.hasOptionalFieldSelector)
    }
}
