package import NetworkTypes
package import ServicePlan

/// A part of the difference between two plans of a Service.
package enum PlanStep: Sendable, Hashable {
    package enum Sign: UInt8, Sendable, Hashable { case removed, added }

    /// Whether there was a plan, and whether there is one.
    case existence(old: Bool, new: Bool)
    case frontend(Frontend, Sign)
    case poolCount(old: Int, new: Int)
    case endpoint(Endpoint, pool: Int, isDraining: Bool, Sign)
    case scheduler(old: String?, new: String?)
    case weight(IPAddress, UInt16, Sign)
    case healthCheck(old: HealthCheck?, new: HealthCheck?)
    case forwardedPort(ForwardedPort, Sign)
}

// MARK: Bytes

private enum StepTag: UInt8 {
    case end, existence, frontend, poolCount, endpoint, scheduler, weight, healthCheck
    case forwardedPort
}

extension JournalWriter {
    mutating func writeEnd() { write(byte: StepTag.end.rawValue) }

    mutating func write(_ step: PlanStep) {
        switch step {
        case .existence(let old, let new):
            write(byte: StepTag.existence.rawValue)
            write(old)
            write(new)
        case .frontend(let frontend, let sign):
            write(byte: StepTag.frontend.rawValue)
            write(byte: sign.rawValue)
            write(frontend)
        case .poolCount(let old, let new):
            write(byte: StepTag.poolCount.rawValue)
            write(old)
            write(new)
        case .endpoint(let endpoint, let pool, let isDraining, let sign):
            write(byte: StepTag.endpoint.rawValue)
            write(byte: sign.rawValue | (isDraining ? 2 : 0))
            write(pool)
            write(endpoint)
        case .scheduler(let old, let new):
            write(byte: StepTag.scheduler.rawValue)
            write(old)
            write(new)
        case .weight(let address, let weight, let sign):
            write(byte: StepTag.weight.rawValue)
            write(byte: sign.rawValue)
            write(address)
            write(UInt64(weight))
        case .healthCheck(let old, let new):
            write(byte: StepTag.healthCheck.rawValue)
            write(old)
            write(new)
        case .forwardedPort(let port, let sign):
            write(byte: StepTag.forwardedPort.rawValue)
            write(byte: sign.rawValue)
            write(port)
        }
    }

    private mutating func write(_ endpoint: Endpoint) {
        write(endpoint.address)
        write(UInt64(endpoint.port))
        write(endpoint.isLocal)
    }

    private mutating func write(_ key: FrontendKey) {
        write(key.address)
        write(UInt64(key.port))
        write(byte: key.transport.rawValue)
    }

    private mutating func write(_ timeout: UInt32?) { write(timeout.map { UInt64($0) + 1 } ?? 0) }

    private mutating func write(_ check: HealthCheck?) {
        write(check.map { UInt64($0.port) + 1 } ?? 0)
        write(check?.localEndpoints ?? 0)
    }

    private mutating func write(_ frontend: Frontend) {
        write(frontend.key)
        write(byte: frontend.kind.rawValue)
        write(frontend.portName)
        switch frontend.action {
        case .reject: write(byte: 0)
        case .drop: write(byte: 1)
        case .balance(let pool):
            write(byte: 2)
            write(pool)
        case .split(let cluster, let local):
            write(byte: 3)
            write(cluster)
            write(local.map { $0 + 1 } ?? 0)
        }
        write(byte: frontend.masquerade.rawValue)
        write(frontend.affinityTimeout)
        write(frontend.allowedSources.map { $0.count + 1 } ?? 0)
        for prefix in frontend.allowedSources ?? [] {
            write(prefix.base)
            write(byte: prefix.length)
        }
    }

    private mutating func write(_ port: ForwardedPort) {
        write(port.key)
        write(port.portName)
        write(port.endpoints.count)
        for endpoint in port.endpoints { write(endpoint) }
        write(port.affinityTimeout)
    }
}

extension JournalReader {
    /// Returns the next step; nil after the last one.
    mutating func step() -> PlanStep? {
        switch StepTag(rawValue: byte()) {
        case .existence: return .existence(old: bool(), new: bool())
        case .frontend:
            let sign = sign(byte())
            return frontend().map { .frontend($0, sign) }
        case .poolCount: return .poolCount(old: int(), new: int())
        case .endpoint:
            let flags = byte()
            let pool = int()
            return .endpoint(endpoint(), pool: pool, isDraining: flags & 2 != 0, sign(flags & 1))
        case .scheduler: return .scheduler(old: optionalText(), new: optionalText())
        case .weight:
            let sign = sign(byte())
            return .weight(address(), UInt16(truncatingIfNeeded: number()), sign)
        case .healthCheck: return .healthCheck(old: healthCheck(), new: healthCheck())
        case .forwardedPort:
            let sign = sign(byte())
            return forwardedPort().map { .forwardedPort($0, sign) }
        case .end, nil: return nil
        }
    }

    private func sign(_ byte: UInt8) -> PlanStep.Sign { byte == 0 ? .removed : .added }

    private mutating func port() -> UInt16 { UInt16(truncatingIfNeeded: number()) }

    private mutating func endpoint() -> Endpoint {
        Endpoint(address(), port(), isLocal: bool())
    }

    private mutating func key() -> FrontendKey? {
        let (address, port) = (address(), port())
        return TransportProtocol(rawValue: byte()).map { FrontendKey(address, $0, port) }
    }

    private mutating func timeout() -> UInt32? {
        let value = number()
        return value == 0 ? nil : UInt32(truncatingIfNeeded: value - 1)
    }

    private mutating func healthCheck() -> HealthCheck? {
        let (port, count) = (number(), int())
        return port == 0
            ? nil : HealthCheck(port: UInt16(truncatingIfNeeded: port - 1), localEndpoints: count)
    }

    private mutating func frontend() -> Frontend? {
        guard let key = key(), let kind = Frontend.Kind(rawValue: byte()) else { return nil }
        let portName = text()
        let action: Frontend.Action
        switch byte() {
        case 0: action = .reject
        case 1: action = .drop
        case 2: action = .balance(pool: int())
        default:
            let (cluster, local) = (int(), int())
            action = .split(cluster: cluster, local: local == 0 ? nil : local - 1)
        }
        guard let masquerade = Frontend.Masquerade(rawValue: byte()) else { return nil }
        let timeout = timeout()
        let count = int()
        let sources = (0..<max(0, count - 1)).compactMap { _ in
            let base = address()
            return IPPrefix(base, length: Int(byte()))
        }
        return Frontend(
            key: key,
            kind: kind,
            portName: portName,
            action: action,
            masquerade: masquerade,
            affinityTimeout: timeout,
            allowedSources: count == 0 ? nil : sources
        )
    }

    private mutating func forwardedPort() -> ForwardedPort? {
        guard let key = key() else { return nil }
        let portName = text()
        let endpoints = (0..<int()).map { _ in endpoint() }
        return ForwardedPort(
            key: key,
            portName: portName,
            endpoints: endpoints,
            affinityTimeout: timeout()
        )
    }
}
