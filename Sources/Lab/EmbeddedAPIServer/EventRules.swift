/// The checks of an API server on an event (`pkg/apis/core/validation/events.go`).
enum EventRules {
    static func check(_ event: JSONValue, replacing before: JSONValue?) throws(APIStatus) {
        for field in ["reportingController", "reportingInstance", "action", "reason"] {
            let text = event[field].string ?? ""
            guard (1...128).contains(text.utf8.count) else {
                throw .invalid("\(field): Invalid value: \"\(text)\": 1 to 128 bytes are needed")
            }
        }
        guard event["eventTime"].string?.wholeMatch(of: microTime) != nil else {
            throw .invalid("eventTime: Required value: as MicroTime")
        }
        guard ["Normal", "Warning"].contains(event["type"].string) else {
            throw .invalid("type: Invalid value: Normal or Warning")
        }
        guard (event["note"].string ?? "").utf8.count <= 1024 else {
            throw .invalid("note: Invalid value: can have at most 1024 characters")
        }
        if event["series"] != .null {
            guard let count = event["series"]["count"].integer, count >= 2 else {
                throw .invalid("series.count: Invalid value: should be at least 2")
            }
        }
        let regarded = event["regarding"]["namespace"].string ?? ""
        let namespace = event["metadata"]["namespace"].string
        guard namespace == (regarded.isEmpty ? "default" : regarded) else {
            throw .invalid(
                "involvedObject.namespace: Invalid value: does not match event.namespace"
            )
        }
        guard let before else { return }
        for field in ["eventTime", "reason", "action", "regarding", "note", "type"] {
            guard event[field] == before[field] else {
                throw .invalid("\(field): Invalid value: field is immutable")
            }
        }
    }

    private static var microTime: Regex<Substring> {
        /[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z/
    }
}
