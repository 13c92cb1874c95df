import Configuration
import TestSupport
import Testing

/// github.com/spf13/pflag: flag.go, parseArgs, parseLongArg, parseSingleShortArg.
@Suite struct FlagGrammarTests {
    private let grammar = FlagGrammar(
        others: ["once": .boolean, "config": .value],
        letters: ["v": "v", "c": "config"],
        aliases: ["mode": "proxy-mode"]
    )

    @Test(
        arguments: [
            (["--masquerade-all", "true"], "--masquerade-all true"),
            (["--once", "False"], "--once False"),
            (["--cluster-cidr"], "--cluster-cidr"),
            (["-v"], "--v"), (["--config"], "--config"),
            (["--once=maybe"], "--once"),
            (["--cluster-cdir=10.0.0.0/8"], "--cluster-cdir"),
            (["--cluster_cidrs=10.0.0.0/8"], "--cluster-cidrs"),
        ]
    )
    func `what pflag would misunderstand or refuse is told with the flag`(
        arguments: [String],
        field: String
    ) {
        let error = #expect(throws: ConfigurationProblem.self) {
            _ = try grammar.rewritten(arguments)
        }
        #expect(error?.field == field)
    }

    @Test func `a flag that was probably meant is named`() {
        for (given, meant) in [
            ("--cluster-cidrs", "cluster-cidr"), ("--proxy-mod", "proxy-mode"),
            ("--hostname-overide", "hostname-override"),
            ("--nodeport-adresses", "nodeport-addresses"),
        ] {
            let error = #expect(throws: ConfigurationProblem.self) {
                _ = try grammar.rewritten(["\(given)=x"])
            }
            #expect(error?.description == "\(given): is no flag; --\(meant) is one")
        }
    }

    @Test func `short or quite different names are left to the parser`() throws {
        for argument in ["--vv=1", "--help", "--version", "--something-else", "-x", "-"] {
            #expect(try grammar.rewritten([argument]) == [argument])
        }
    }

    /// The three ways to give a value mean the same, wherever others stand.
    @Test(arguments: 0..<30 as Range<UInt64>)
    func `any order and spelling gives the same settings`(seed: UInt64) throws {
        var random = Seeded(seed)
        let values = [
            "cluster-cidr": "10.0.0.0/8", "hostname-override": "-a=b", "v": "4",
            "oom-score-adj": "-998", "proxy-mode": "ipvs",
        ]
        var arguments: [String] = []
        for (name, value) in values.shuffled(using: &random) {
            let spelling =
                Bool.random(using: &random) ? name : String(name.map { $0 == "-" ? "_" : $0 })
            let long =
                "--" + (name == "proxy-mode" && Bool.random(using: &random) ? "mode" : spelling)
            switch Int.random(in: 0..<3, using: &random) {
            case 0: arguments += [long, value]
            case 1 where name == "v": arguments.append("-v\(value)")
            default: arguments.append("\(long)=\(value)")
            }
            if Bool.random(using: &random) { arguments.append("--once") }
        }
        let rewritten = try grammar.rewritten(arguments).filter { $0 != "--once" }
        #expect(
            rewritten.sorted() == values.map { "--setting=\($0.key)=\($0.value)" }.sorted()
        )
    }

    @Test func `unknown settings and unreadable values are told with the flag`() {
        for (word, field) in [
            ("no-such-flag=1", "--no-such-flag"), ("v=four", "--v"), ("v=", "--v"),
            ("ipvs-tcp-timeout=5", "--ipvs-tcp-timeout"), ("kube-api-qps=inf", "--kube-api-qps"),
            ("feature-gates=A", "--feature-gates"), ("feature-gates=A=maybe", "--feature-gates"),
            ("healthz-port=70000", "--healthz-port"), ("metrics-port=-1", "--metrics-port"),
        ] {
            let error = #expect(throws: ConfigurationProblem.self, "\(word)") {
                _ = try GivenFlags([word])
            }
            #expect(error?.field == field)
        }
    }
}

/// Go's strconv and time packages.
@Suite struct GoValueTests {
    private func verbosity(_ word: String) -> Int? {
        var configuration = KubeProxyConfiguration()
        do {
            try GivenFlags(["v=\(word)"]).apply(to: &configuration, besideFile: false)
        } catch {
            return nil
        }
        return configuration.logging.verbosity
    }

    // strconv.ParseInt with base 0: 0x, 0o, 0 and 0b, and underscores between digits.
    @Test(
        arguments: [
            ("0", 0), ("-0", 0), ("+5", 5), ("0x1F", 31), ("0X1f", 31), ("0o17", 15), ("017", 15),
            ("0b101", 5), ("1_000", 1000), ("-0x10", -16), ("9223372036854775807", .max),
            ("-9223372036854775808", .min), ("9223372036854775808", nil), ("1.0", nil), ("", nil),
            ("08", nil), ("0x", nil), ("--1", nil), ("+-1", nil), ("1 ", nil), ("٣", nil),
        ] as [(String, Int?)]
    )
    func `a whole number is what ParseInt reads`(word: String, value: Int?) {
        #expect(verbosity(word) == value)
    }

    // time.ParseDuration: the examples of its documentation and of its tests (time_test.go).
    @Test(
        arguments: [
            ("0", 0), ("5s", 5), ("30s", 30), ("1478s", 1478), ("-5s", -5), ("+5s", 5), ("-0", 0),
            ("+0", 0), ("5.0s", 5), ("5.6s", 5.6), ("5.s", 5), (".5s", 0.5), ("1.0s", 1),
            ("1.00s", 1), ("1.004s", 1.004), ("100.00100s", 100.001), ("10ns", 1e-8),
            ("11us", 1.1e-5), ("12µs", 1.2e-5), ("12\u{3BC}s", 1.2e-5), ("13ms", 0.013),
            ("14s", 14), ("15m", 900),
            ("16h", 57_600), ("3h30m", 12_600), ("10.5s4m", 250.5), ("-2m3.4s", -123.4),
            ("1h2m3s4ms5us6ns", 3723.004005006), ("39h9m14.425s", 140_954.425),
        ]
    )
    func `a duration is what ParseDuration reads`(text: String, seconds: Double) throws {
        let span = try #require(TimeSpan(text))
        #expect(abs(span.seconds - seconds) < 1e-9)
    }

    @Test(arguments: ["3", "-", "s", ".", "-.", ".s", "+.s", "1d", "3000000h", "5 s", "1s ", "½s"])
    func `what ParseDuration refuses is none`(text: String) {
        #expect(TimeSpan(text) == nil)
    }

    // time.Duration.String: the examples of time_test.go.
    @Test(
        arguments: [
            (0, "0s"), (1, "1s"), (60, "1m0s"), (59, "59s"), (3600, "1h0m0s"),
            (3661, "1h1m1s"), (86_400, "24h0m0s"), (900, "15m0s"),
            (-61, "-1m1s"), (-3661, "-1h1m1s"), (-1, "-1s"), (-3600, "-1h0m0s"),
        ] as [(Double, String)]
    )
    func `a duration is written as Go writes it`(seconds: Double, text: String) {
        #expect(TimeSpan(seconds: seconds).description == text)
        #expect(TimeSpan(text)?.seconds == seconds)
    }
}
