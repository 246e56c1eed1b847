namespace Distributed.Worker.Options;

/// <summary>The commands and what each accepts. Names and defaults are those of Meta's example scripts.</summary>
internal static class OptionCatalog
{
    public const string Complete = "complete";
    public const string Chat = "chat";
    public const string Serve = "serve";
    public const string Tokenize = "tokenize";
    public const string Convert = "convert";
    public const string Inspect = "inspect";
    public const string Doctor = "doctor";

    /// <summary>Positions a row under <see cref="Serve"/> where nothing is said, and the model has as many.</summary>
    public const int ServeSequenceLength = 2048;

    /// <summary>All commands, as a sentence lists them.</summary>
    public const string CommandNames = "complete, chat, serve, tokenize, convert, inspect or doctor";

    public const string CheckpointDirectory = "ckpt-dir";
    public const string Model = "model";
    public const string TokenizerPath = "tokenizer-path";
    public const string MaxSequenceLength = "max-seq-len";
    public const string MaxBatchSize = "max-batch-size";
    public const string MaxGenerationLength = "max-gen-len";
    public const string Temperature = "temperature";
    public const string TopP = "top-p";
    public const string Seed = "seed";
    public const string LogProbabilities = "logprobs";
    public const string Echo = "echo";
    public const string StopTokenIds = "stop-token-ids";
    public const string Format = "format";
    public const string Prompt = "prompt";
    public const string PromptTokens = "prompt-tokens";
    public const string PromptsFile = "prompts-file";
    public const string Dialogs = "dialogs";
    public const string DialogsFile = "dialogs-file";
    public const string System = "system";
    public const string NoThinking = "no-thinking";
    public const string Config = "config";
    public const string Threads = "threads";
    public const string DataType = "dtype";
    public const string Backend = "backend";
    public const string Device = "device";
    public const string MatmulPrecision = "matmul-precision";
    public const string CacheDataType = "cache-dtype";
    public const string CacheTokenCount = "kv-cache-tokens";
    public const string SkipChecksums = "skip-checksums";
    public const string Transport = "transport";
    public const string Wire = "wire";
    public const string Trace = "trace";
    public const string Mesh = "mesh";
    public const string Split = "split";
    public const string MicroBatches = "micro-batches";
    public const string DeviceMap = "device-map";
    public const string Bos = "bos";
    public const string Output = "output";
    public const string Layout = "layout";
    public const string Shards = "shards";
    public const string Type = "type";
    public const string WorldSize = "world-size";
    public const string Deep = "deep";
    public const string Host = "host";
    public const string Port = "port";
    public const string GrpcPort = "grpc-port";
    public const string AllowedHosts = "allowed-hosts";
    public const string ApiKey = "api-key";
    public const string ApiKeyFile = "api-key-file";
    public const string TlsCertificate = "tls-cert";
    public const string TlsKey = "tls-key";
    public const string AllowPlaintextOnNetwork = "allow-plaintext-on-network";
    public const string ServedModelName = "served-model-name";
    public const string MaxQueue = "max-queue";
    public const string MaxQueuedTokens = "max-queued-tokens";
    public const string MaxRequestsPerKey = "max-requests-per-key";
    public const string MaxBodySize = "max-body-size";
    public const string DrainTimeout = "drain-timeout";
    public const string SsePingInterval = "sse-ping-interval";
    public const string RequestTimeout = "request-timeout";
    public const string OtlpEndpoint = "otlp-endpoint";

    /// <summary>The options that say what to run. Where the command line has any of them, those of a config file do not count.</summary>
    public static readonly IReadOnlyList<string> Inputs = [Prompt, PromptTokens, PromptsFile, Dialogs, DialogsFile];

    private static readonly OptionDefinition Tokenizer =
        new(TokenizerPath, "FILE", "The tokenizer that belongs to the checkpoint: tokenizer.model or tokenizer.json. Default with --model: the folder's.") { IsPath = true };

    private static readonly OptionDefinition ConfigFile =
        new(Config, "FILE", "JSON with any of these options as keys, in either spelling; the command line wins.") { IsPath = true };

    private static readonly OptionDefinition WithoutThinking = new(NoThinking, null, "Have a model that thinks before it answers, such as Qwen3, answer at once.");

    /// <summary>What <paramref name="command"/> accepts, in the order of its help.</summary>
    public static IReadOnlyList<OptionDefinition> Of(string command) => command switch
    {
        Complete =>
        [
            .. ModelOptions(maxSequenceLength: 128, maxBatchSize: 4, maxGenerationLength: "64"),
            new(Echo, null, "Begin each result with the prompt."),
            new(Prompt, "TEXT", "A text to continue; may be repeated.") { Repeats = true, ConfigPlural = "prompts" },
            new(PromptTokens, "IDS", "Token ids to continue, such as 1,15043, BOS included by you; may be repeated.") { Repeats = true },
            new(PromptsFile, "FILE", "A prompt a line, or JSON lines with \"prompt\". With no prompt at all, standard input is read so.")
            {
                IsPath = true,
            },
            .. Run,
        ],
        Chat =>
        [
            .. ModelOptions(maxSequenceLength: 512, maxBatchSize: 8, maxGenerationLength: "None"),
            new(DialogsFile, "FILE", "JSON: a dialog ([{\"role\":\"user\",\"content\":\"...\"}]), a list of dialogs, or a dialog a line.")
            {
                IsPath = true,
            },
            new(Prompt, "TEXT", "One message from the user; may be repeated, each a dialog of its own.")
            {
                Repeats = true,
                ConfigPlural = "prompts",
            },
            new(System, "TEXT", "A system message before each --prompt, or before the conversation."),
            new(Dialogs, "JSON", "Dialogs, as in --dialogs-file.") { ConfigOnly = true },
            WithoutThinking,
            .. Run,
        ],
        Serve =>
        [
            .. Loading(ServeSequenceLength, "Rows that run together; more requests wait. Default: 8."),
            new(MaxGenerationLength, "N", "New tokens of a chat answer that names no max_tokens; None for as many as fit. Default: None."),
            new(Temperature, "T", "Of a request that names none; 0 always takes the most probable token. Default: 1."),
            new(TopP, "P", "Of a request that names none. Default: 1."),
            new(Seed, "N", "Of a request that names none. Default: another one each time."),
            new(StopTokenIds, "IDS", "Token ids that end an answer, such as 2,13, in place of the model's."),
            WithoutThinking,
            .. Listening,
            .. Common,
        ],
        Tokenize =>
        [
            Tokenizer,
            new(Bos, null, "Put the BOS token before each text."),
        ],
        Convert =>
        [
            new(Model, "DIR", "The checkpoint to convert, in either layout.") { IsPath = true },
            new(Output, "DIR", "The new folder; it appears when all of it is written.") { IsPath = true },
            new(Layout, "meta|huggingface", "The layout to write. Default with --dtype: huggingface."),
            new(Shards, "N", "Files among which Meta's layout divides each tensor. Default: 1."),
            new(Type, "float32|bfloat16|float16", "How elements are stored. Default: as they are."),
            new(DataType, "int8|int4", "Quantise every matrix but the embedding, so that later starts map it; only these programs read the result. Default: no."),
        ],
        Inspect =>
        [
            new(Model, "DIR", "The checkpoint, in either layout.") { IsPath = true },
        ],
        Doctor =>
        [
            new(Model, "DIR", "The checkpoint, in either layout; it may stand alone, without --model.") { IsPath = true },
            Tokenizer,
            new(WorldSize, "N", "The number of ranks that memory and speed are told for. Default: 1, 2, 4 and 8."),
            new(Mesh, "pp=P,tp=T", "Pipeline stages and the ranks of each that memory is told for. Default: one stage."),
            new(MaxSequenceLength, "N", "Positions a row, for the cache. Default: 2048."),
            new(MaxBatchSize, "N", "Rows that run together, for the cache. Default: 1."),
            new(DataType, "auto|int8|int4", "What the weights would be computed with. Default: auto, as they are stored."),
            .. Cache,
            new(Deep, null, "Compare one rank with --world-size (default 2) after every layer, and name the first layer and rank that differ."),
            new(Backend, "managed|torch", "torch, with --deep: compare the torch backend on --world-size ranks (default 1) with the managed one. Default: managed."),
            new(Device, "cuda|cpu", "Of the torch backend. Default: cuda."),
            new(MatmulPrecision, "highest|high|medium", "highest or medium: what speed is told for; medium rounds activations to bfloat16. high or medium: of the torch backend. Default: highest; of torch high."),
            new(SkipChecksums, null, "Do not read the files to compare their checksums."),
            new(Threads, "N", "Threads that read and measure. Default: OMP_NUM_THREADS, else all cores."),
            new(Format, "text|json", "json: one document on standard output and nothing else there. Default: text."),
        ],
        _ => throw new ArgumentOutOfRangeException(nameof(command), command, "No such command."),
    };

    /// <summary>
    /// Whether <paramref name="key"/> of a config file, which <paramref name="command"/> does not have, is passed over: a file for
    /// <c>complete</c> or <c>chat</c> serves too.
    /// </summary>
    public static bool IsPassedOver(string command, string key)
        => command == Serve && Of(Complete).Concat(Of(Chat)).Any(option => option.Name == key || option.ConfigPlural == key);

    private static IEnumerable<OptionDefinition> ModelOptions(int maxSequenceLength, int maxBatchSize, string maxGenerationLength) =>
    [
        .. Loading(maxSequenceLength, $"Rows that run together; more prompts run in consecutive batches. Default: {maxBatchSize}."),
        new(MaxGenerationLength, "N", $"New tokens a row at most; None for as many as fit. Default: {maxGenerationLength}."),
        new(Temperature, "T", "0 always takes the most probable token. Default: 0.6."),
        new(TopP, "P", "Sample from the most probable tokens that together reach P. Default: 0.9."),
        new(Seed, "N", "Of the draws; the same seed gives the same text on any number of ranks. Default: 1."),
        new(LogProbabilities, null, "Report log probabilities (with --format json)."),
        new(StopTokenIds, "IDS", "Token ids that end a row, such as 2,13, in place of the tokenizer's EOS."),
    ];

    private static IEnumerable<OptionDefinition> Loading(int maxSequenceLength, string maxBatchSize) =>
    [
        new(Model, "DIR", "Folder of a model: Hugging Face's config.json and *.safetensors, or Meta's files, with the tokenizer beside them.")
        {
            IsPath = true,
        },
        new(CheckpointDirectory, "DIR", "In place of --model: the folder without the tokenizer, for which --tokenizer-path is then needed.")
        {
            IsPath = true,
        },
        Tokenizer,
        new(Backend, "managed|torch", "What computes: this program's own kernels, or libtorch's, which a build with -p:Torch=... has. Default: managed."),
        new(Device, "cuda|cpu", "Of the torch backend: this rank's GPU, or the processor. Default: cuda."),
        new(DataType, "auto|int8|int4", "auto: weights as they are stored. int8, int4: quantised while loading, a half and a quarter of the memory of bfloat16. The torch backend has auto, bf16, fp16, fp32. Default: auto."),
        new(MatmulPrecision, "highest|high|medium", "medium: activations that meet bfloat16 weights are rounded to bfloat16, for up to twice the speed of prompts and batches. highest: they stay float32. The torch backend has high and medium, for all 16-bit matrices. Default: highest; of torch high."),
        new(MaxSequenceLength, "N", $"Positions a row, prompt and new tokens together. Default: {maxSequenceLength}."),
        new(MaxBatchSize, "N", maxBatchSize),
        .. Cache,
    ];

    private static IEnumerable<OptionDefinition> Cache =>
    [
        new(CacheDataType, "f32|bf16|int8", "What keys and values are kept as: as computed, or rounded to a half or about a quarter of the memory. Default: f32."),
        new(CacheTokenCount, "N", "Positions that the key-value cache holds for all rows together, at least --max-seq-len. Default: --max-batch-size x --max-seq-len."),
    ];

    private static IEnumerable<OptionDefinition> Listening =>
    [
        new(Host, "ADDRESS", "Where to listen; any but this machine's own needs a key and TLS. Default: 127.0.0.1."),
        new(Port, "N", "0 for a free one, which is told on stderr. Default: 8080."),
        new(GrpcPort, "N", "Listen for gRPC too, 0 for a free port. Not needed with TLS, where --port takes both. Default: no gRPC."),
        new(ApiKey, "KEY", "A key that opens the server; may be repeated. Other users of this machine can read command lines: prefer a file.") { Repeats = true },
        new(ApiKeyFile, "FILE", "Keys, one a line.") { IsPath = true },
        new(TlsCertificate, "FILE", "The server's certificate (PEM), for https.") { IsPath = true },
        new(TlsKey, "FILE", "Its private key (PEM).") { IsPath = true },
        new(AllowPlaintextOnNetwork, null, "Listen for other machines without TLS, where something before this server encrypts."),
        new(AllowedHosts, "NAMES", "Names under which the server answers besides localhost; may be repeated.") { Repeats = true },
        new(ServedModelName, "NAME", "How clients call the model. Default: its folder's name."),
        new(MaxQueue, "N", "Requests that may wait; more are answered 503. Default: 256."),
        new(MaxQueuedTokens, "N", "Tokens of prompts and answers that may wait. Default: 1048576."),
        new(MaxRequestsPerKey, "N", "Requests of one key under way; more are answered 429. Default: with several keys half of all, else no limit."),
        new(MaxBodySize, "MIB", "Largest body of a request, 1 to 16. Default: 2."),
        new(DrainTimeout, "SECONDS", "How long running answers may take after SIGTERM; keep it below distrun's --shutdown-timeout. Default: 25."),
        new(SsePingInterval, "SECONDS", "A silent stream gets a comment so often. Default: 5."),
        new(RequestTimeout, "SECONDS", "An answer that takes longer ends with an error. Default: 600."),
        new(OtlpEndpoint, "URL", "Send each rank's measurements to this collector of OpenTelemetry's, such as http://127.0.0.1:4318. Default: nowhere."),
    ];

    private static IEnumerable<OptionDefinition> Run =>
    [
        new(Format, "text|json", "json: one document on standard output and nothing else there. Default: text."),
        .. Common,
    ];

    private static IEnumerable<OptionDefinition> Common =>
    [
        ConfigFile,
        new(Threads, "N", "Compute threads of each rank. Default: OMP_NUM_THREADS, else this rank's share of the cores."),
        new(Mesh, "pp=P,tp=T", "P stages that follow each other, each with some of the layers, times T ranks that divide each layer. Default: distrun's --mesh, else tp only."),
        new(Split, "N,N,...", "Layers of each stage. Default: about equal bytes."),
        new(MicroBatches, "N", "Parts into which a step is cut at most, of 16 tokens at least, so that stages overlap; None for eight a stage. Default: None."),
        new(DeviceMap, "auto|balanced|sequential", "Place layers on stages by the free memory of their ranks. Without --mesh, each rank is a stage. Default: by bytes alone."),
        new(Transport, "auto|shm|grpc|nccl", "Between ranks of one host: shared memory, or gRPC over Unix sockets. auto and nccl: sums of the torch backend from GPU to GPU where NCCL can. Default: DISTRUN_TRANSPORT, else auto."),
        new(Wire, "exact|bf16|int8", "Between hosts: sums as they are, or narrowed for a slow network, with which results depend on the hosts. Default: DISTRUN_WIRE, else exact."),
        new(Trace, "FILE", "Write each rank's collectives to FILE, its number before the extension, in Chrome's trace format.") { IsPath = true },
        new(SkipChecksums, null, "Do not verify the checkpoint's checksums while loading."),
    ];
}
