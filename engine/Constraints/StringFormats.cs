using System.Collections.Frozen;

namespace Distributed.Engine.Constraints;

/// <summary>The formats of strings that can be enforced, as patterns.</summary>
internal static class StringFormats
{
    private const string Month31 = "(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])";
    private const string Month30 = "(0[469]|11)-(0[1-9]|[12]\\d|30)";
    private const string LeapYear = "(\\d\\d(0[48]|[2468][048]|[13579][26])|([02468][048]|[13579][26])00)"; // divisible by 4, and by 400 if by 100
    private const string Date = $"(\\d{{4}}-({Month31}|{Month30}|02-(0[1-9]|1\\d|2[0-8]))|{LeapYear}-02-29)";
    private const string Time = "([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?(Z|[+-]([01]\\d|2[0-3]):[0-5]\\d)"; // without leap seconds
    private const string Byte = "(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)";
    private const string Group = "[0-9A-Fa-f]{1,4}";
    private const string Atom = "[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}"; // three are within a mailbox name's 64 characters
    private const string Label = "[A-Za-z0-9]([A-Za-z0-9-]{0,60}[A-Za-z0-9])?"; // four are within a name's 253 characters

    // RFC 3339, RFC 9562, RFC 5321 (dot-atoms only), RFC 1123, RFC 4291, RFC 3986 (with an authority), ISO 8601.
    private static readonly FrozenDictionary<string, string> Patterns = new Dictionary<string, string>(StringComparer.Ordinal)
    {
        ["date"] = $"^{Date}$",
        ["time"] = $"^{Time}$",
        ["date-time"] = $"^{Date}T{Time}$",
        ["duration"] = "^P(\\d{1,9}W|(\\d{1,9}Y(\\d{1,9}M(\\d{1,9}D)?)?|\\d{1,9}M(\\d{1,9}D)?|\\d{1,9}D)"
            + "(T(\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S))?"
            + "|T(\\d{1,9}H(\\d{1,9}M(\\d{1,9}S)?)?|\\d{1,9}M(\\d{1,9}S)?|\\d{1,9}S))$",
        ["uuid"] = "^[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}$",
        ["email"] = $"^{Atom}(\\.{Atom}){{0,2}}@{Label}(\\.{Label}){{1,3}}$",
        ["hostname"] = $"^{Label}(\\.{Label}){{0,3}}$",
        ["ipv4"] = $"^{Byte}\\.{Byte}\\.{Byte}\\.{Byte}$",
        ["ipv6"] = $"^({Group}(:{Group}){{7}}|::|::{Group}(:{Group}){{0,6}}|{Group}::({Group}(:{Group}){{0,5}})?|{Group}(:{Group}){{1}}::({Group}(:{Group}){{0,4}})?"
            + $"|{Group}(:{Group}){{2}}::({Group}(:{Group}){{0,3}})?|{Group}(:{Group}){{3}}::({Group}(:{Group}){{0,2}})?"
            + $"|{Group}(:{Group}){{4}}::({Group}(:{Group}){{0,1}})?|{Group}(:{Group}){{5}}::({Group})?|{Group}(:{Group}){{6}}::)$",
        ["uri"] = "^[A-Za-z][A-Za-z0-9+.-]*://[A-Za-z0-9.-]+(:\\d{1,5})?(/[A-Za-z0-9._~!$&'()*+,;=:@-]*)*"
            + "(\\?[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?(#[A-Za-z0-9._~!$&'()*+,;=:@/?-]*)?$",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The names, for the error.</summary>
    public static string Names => string.Join(", ", Patterns.Keys.Order(StringComparer.Ordinal));

    /// <summary>The language of a format; <see langword="null"/> where it is not known.</summary>
    public static PatternNode? Find(string format) => Patterns.TryGetValue(format, out var pattern) ? PatternReader.Read(pattern, format) : null;
}
