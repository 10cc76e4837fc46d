// An exported student in an Android app, by com.microsoft.onnxruntime:onnxruntime-android. All values are float32:
// waveform [clips, n_samples], -1 to 1, mono -> probabilities [clips, emotions] with sum 1, fc1 [clips, features].
// A student that normalises by speaker, such as ready:good, also has voice -> voice_after: [clips, 3, n_mels].
import ai.onnxruntime.*
import java.nio.FloatBuffer.wrap
import org.json.JSONObject

class Student(model: ByteArray) { // the bytes of student.onnx
    private val runtime = OrtEnvironment.getEnvironment().apply { setTelemetry(false) }
    private val session = runtime.createSession(model, OrtSession.SessionOptions())
    private val metadata = JSONObject(session.metadata.customMetadata.getValue("ser_graph"))
    private val emotions = metadata.getJSONArray("emotions").let { List(it.length()) { i -> it.getString(i) } }
    private val features = metadata.getJSONObject("features")
    private val length = features.getInt("n_samples")
    val rate = features.getInt("sample_rate") // for AudioRecord
    var voice = FloatArray(3 * features.getInt("n_mels")) // known of the speaker so far; zeros for a new speaker
    private fun tensor(data: FloatArray, vararg shape: Long) = OnnxTensor.createTensor(runtime, wrap(data), shape)

    /** The probability of each emotion in 16-bit mono PCM at `rate`. Short sound is repeated, long sound is cut. */
    fun predict(pcm: ShortArray): Map<String, Float> {
        val samples = FloatArray(length) { pcm[it % pcm.size] / 32768f }
        val inputs = mutableMapOf("waveform" to tensor(samples, 1, length.toLong()))
        if ("voice" in session.inputNames) inputs["voice"] = tensor(voice, 1, 3, voice.size / 3L)
        return session.run(inputs).use { outputs ->
            outputs["voice_after"].ifPresent { (it as OnnxTensor).floatBuffer.get(voice) } // for the next clip
            val probabilities = (outputs["probabilities"].get() as OnnxTensor).floatBuffer
            emotions.associateWith { probabilities.get() }
        }.also { inputs.values.forEach(OnnxTensor::close) }
    }
}
