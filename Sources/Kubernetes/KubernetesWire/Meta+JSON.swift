extension WireListMeta: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("resourceVersion", \.resourceVersion),
        .init("continue", \.`continue`),
    ]
}

extension WireObjectMeta: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("name", \.name),
        .init("namespace", \.namespace),
        .init("uid", \.uid),
        .init("resourceVersion", \.resourceVersion),
        .map("labels", \.labels),
        .map("annotations", \.annotations),
        .time("creationTimestamp", \.creationTimestamp),
        .time("deletionTimestamp", \.deletionTimestamp),
    ]
}

extension WireAnyObject: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata)
    ]
}

extension WireStatus: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("metadata", \.metadata),
        .init("status", \.status),
        .init("message", \.message),
        .init("reason", \.reason),
        .init("code", \.code),
        .init("details", \.details),
    ]
}

extension WireStatusDetails: JSONReadable {
    package static let fields: [JSONField<Self>] = [
        .init("retryAfterSeconds", \.retryAfterSeconds)
    ]
}

extension WireObjectMeta {
    package func label(_ name: String) -> WireText? { labels.first { $0.key.says(name) }?.value }

    package func annotation(_ name: String) -> WireText? {
        annotations.first { $0.key.says(name) }?.value
    }
}
